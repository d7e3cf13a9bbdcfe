"""IIIT5K: a folder with the images and the annotation.txt that convert_iiit5k.py writes."""
from src.data.image_list import ImageListSource


class IIIT5KSource(ImageListSource):
    """The IIIT 5K-word data set (2,000 training and 3,000 test words), and any folder of that form."""

    name = "iiit5k"
    hint = "convert_iiit5k.py writes it from the .mat file of the set"
