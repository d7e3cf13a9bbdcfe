"""IC15: the ground truth of ICDAR 2015 Incidental Scene Text, task 4.3, as it comes."""
from src.ic13_dataset import QuotedListSource


class IC15Source(QuotedListSource):
    """ICDAR 2015 Incidental Scene Text (4,468 training and 2,077 test words)."""

    name = "ic15"
    hint = "or Challenge4_Test_Task3_GT.txt, or gt.txt of the training set"
    more_annotations = {
        "test": ("Challenge4_Test_Task3_GT.txt", "ch4_test_word_images_gt/Challenge4_Test_Task3_GT.txt"),
        "train": ("gt.txt", "ch4_training_word_images_gt/gt.txt"),
    }
    image_folders = ("ch4_test_word_images_gt",)
