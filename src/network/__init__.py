"""What a network is made of, checkpoint files, networks as plain functions. The networks themselves are src/crnn.py."""
