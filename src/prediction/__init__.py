"""What predict.py does: the images it is given, what it prints and draws of their readings. Not the reading itself."""
