"""Any list of images and words: lines of path and word as PaddleOCR, deep-text-recognition-benchmark and MMOCR have."""
import os
import re

from src.common.errors import DataError
from src.data.source import ImageListSource

_IMAGE_FIRST = re.compile(r"\s*(\S.*?\.(?:jpe?g|png|bmp|webp|tiff?|ppm|gif))(?:\s*,\s*|\s+)(.+)", re.IGNORECASE)
VALIDATION_LISTS = ("rec_gt_val.txt", "val_list.txt", "val.txt")
_SPLITS = {
    "train": ("rec_gt_train.txt", "train_list.txt", "train.txt", "gt_train.txt"),
    "val": VALIDATION_LISTS,
    "test": ("rec_gt_test.txt", "rec_gt_eval.txt", "test_list.txt", "test.txt", "gt_test.txt"),
}


def validation_list(folder: str) -> str:
    """The list of validation words in a folder; '' where there is none."""
    paths = [os.path.join(folder, name) for name in VALIDATION_LISTS]
    return next((path for path in paths if os.path.isfile(path)), "")


class ListSource(ImageListSource):
    """Words of any origin: a list file, or a folder with one.

    A line is ``path<TAB>word``; without a tab the word follows the name of the image after a comma or a space. Paths
    are relative to the folder of the list. A folder's list is called annotation.txt, or as the split says
    rec_gt_train.txt, train_list.txt or train.txt (the same for val and test), or gt.txt or labels.tsv. For val its own
    list goes before annotation.txt.
    """

    name = "list"
    hint = "or labels.tsv, gt.txt, rec_gt_train.txt, ..., with lines of image path, tab and word; or the list itself"

    def find(self, path: str, split: str) -> str:
        """The list of that split, never that of another one."""
        self.more_annotations = {split: (*_SPLITS.get(split, ()), "gt.txt")}
        annotation = super().find(path, split)
        return (split == "val" and validation_list(path)) or annotation

    def parse_line(self, line: str, file: str, number: int) -> tuple[str, str]:
        """Path and word; DataError where the line has neither a tab nor the name of an image."""
        if "\t" not in line:
            found = _IMAGE_FIRST.fullmatch(line)
            if not found:
                raise DataError(f"{file}, line {number}: expected path, tab and word: {line!r}")
            return found[1], found[2].strip()
        return super().parse_line(line, file, number)
