"""IC13: the ground truth of ICDAR 2013 Focused Scene Text, task 3, as it comes: lines ``word_1.png, "Tiredness"``."""
from src.data.image_list import ImageListSource


class IC13Source(ImageListSource):
    """ICDAR 2013 Focused Scene Text, task 3 (848 training and 1,095 test words), read as it comes."""

    name = "ic13"
    hint = "or Challenge2_Test_Task3_GT.txt, or gt.txt of the training set"
    genuine = {
        "test": ("Challenge2_Test_Task3_GT.txt",),
        "train": ("gt.txt", "Challenge2_Training_Task3_Images_GT/gt.txt"),
    }
    usual = ("\t", ",", "")
    image_folders = ("Challenge2_Test_Task3_Images",)
