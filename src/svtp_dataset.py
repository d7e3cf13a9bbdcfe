"""SVT-Perspective: a folder with images and annotation.txt."""
from src.data.image_list import ImageListSource


class SVTPSource(ImageListSource):
    """SVT-Perspective (645 words)."""

    name = "svtp"
