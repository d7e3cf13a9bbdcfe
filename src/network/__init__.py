"""Checkpoint files, written and read, and networks as plain functions. The networks themselves are src/crnn.py."""
