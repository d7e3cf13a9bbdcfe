"""What every other part may use: errors, charset, progress, files. Knows nothing of images, networks or MindSpore."""
