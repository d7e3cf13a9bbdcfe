"""The files of a network: checkpoints, written and read. The networks themselves are src/crnn.py."""
