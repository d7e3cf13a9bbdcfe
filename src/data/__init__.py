"""From files to batches: sources, preprocessing, augmentation, order, loader workers. No network."""
