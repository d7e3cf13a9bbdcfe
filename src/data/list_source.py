"""Any list of images and words, under the names that its lists have in the tools of the field."""
import os

from src.data.image_list import ImageListSource

VALIDATION_LISTS = ("rec_gt_val.txt", "val_list.txt", "val.txt")
# PaddleOCR, PPOCRLabel, MindOCR, MMOCR (0 and 1), deep-text-recognition-benchmark, by split.
_SPLITS = {
    "train": ("rec_gt_train.txt", "train_list.txt", "train.txt", "gt_train.txt", "gt_training.txt", "train_gt.txt",
              "train_label.txt", "train_labels.txt", "train_label.jsonl", "train_labels.json", "textrecog_train.json",
              "train.csv", "train.json", "train.jsonl"),
    "val": (*VALIDATION_LISTS, "gt_val.txt", "val_gt.txt", "val_label.txt", "val_labels.txt", "val_label.jsonl",
            "val_labels.json", "textrecog_val.json", "val.csv", "val.json", "val.jsonl"),
    "test": ("rec_gt_test.txt", "rec_gt_eval.txt", "test_list.txt", "test.txt", "gt_test.txt", "test_gt.txt",
             "test_label.txt", "test_labels.txt", "test_label.jsonl", "test_labels.json", "textrecog_test.json",
             "test.csv", "test.json", "test.jsonl"),
}
# PPOCRLabel, TRDG, EasyOCR, docTR, MMOCR, Hugging Face: one list for all.
_ANY = ("gt.txt", "rec_gt.txt", "labels.txt", "label.txt", "labels.csv", "labels.json", "label.json", "labels.jsonl",
        "label.jsonl", "metadata.jsonl", "metadata.csv", "gt.csv")


def validation_list(folder: str) -> str:
    """The list of validation words in a folder; '' where there is none."""
    paths = [os.path.join(folder, name) for name in _SPLITS["val"]]
    return next((path for path in paths if os.path.isfile(path)), "")


class ListSource(ImageListSource):
    """Words of any origin: a list file, or a folder with one.

    A folder's list is called annotation.txt, or as the split says rec_gt_train.txt, train_list.txt, train.txt and so on
    (the same for val and test), or gt.txt, labels.csv, labels.json and so on, or labels.tsv. For val its own list goes
    before annotation.txt. Which format it is in is recognised and said.
    """

    name = "list"
    usual = ()
    hint = ("or labels.tsv, gt.txt, labels.csv, rec_gt_train.txt, ..., with lines of image path, tab and word; or the "
            "list itself")

    def find(self, path: str, split: str) -> str:
        """The list of that split, never that of another one."""
        self.more_annotations = {split: (*_SPLITS.get(split, ()), *_ANY)}
        annotation = super().find(path, split)
        return (split == "val" and validation_list(path)) or annotation
