"""Damaged files of every kind, and what reads them."""
import src  # noqa: F401 - tells OpenCV how large an image may be, before anything loads it
