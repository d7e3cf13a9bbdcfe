"""The CRNN: networks, data path, training and evaluation."""
