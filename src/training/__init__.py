"""A training run: the loop, optimizer, dropout masks, stopping and going on. One step is in crnn_for_train.py."""
