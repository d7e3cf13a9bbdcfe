"""CUTE80: a folder with images and annotation.txt."""
from src.data.image_list import ImageListSource


class CUTE80Source(ImageListSource):
    """CUTE80, curved text (288 words)."""

    name = "cute80"
