"""IC15: the ground truth of ICDAR 2015 Incidental Scene Text, task 4.3, as it comes."""
from src.data.image_list import ImageListSource


class IC15Source(ImageListSource):
    """ICDAR 2015 Incidental Scene Text (4,468 training and 2,077 test words)."""

    name = "ic15"
    hint = "or Challenge4_Test_Task3_GT.txt, or gt.txt of the training set"
    genuine = {
        "test": ("Challenge4_Test_Task3_GT.txt", "ch4_test_word_images_gt/Challenge4_Test_Task3_GT.txt"),
        "train": ("gt.txt", "ch4_training_word_images_gt/gt.txt"),
    }
    usual = ("\t", ",", "")
    image_folders = ("ch4_test_word_images_gt",)
