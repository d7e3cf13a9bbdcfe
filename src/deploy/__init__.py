"""Files for deployment: written, described, checked and read back."""
