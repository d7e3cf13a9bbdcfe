"""SVT: a folder with the word crops and the annotation.txt that convert_svt.py writes, or what the model zoo's left."""
import os
import re

from src.common.errors import DataError
from src.common.files import read_lines
from src.data.image_list import ImageListSource
from src.data.list_format import Entry, ImageList
from src.data.source import check_finished, check_folder

_CROP = re.compile(r".*_\d+_([^_]+)\.(?:jpg|jpeg|png)", re.IGNORECASE)
_ZOO_LEXICON = "lexicon_ann_train.txt"


class SVTSource(ImageListSource):
    """Street View Text (257 training and 647 test words).

    The model zoo's converter left crops called ``img/14_03_0_LIVING.jpg``, the number and the word last, and
    ``annotation_train.txt`` with lines ``path,WORD,row``, the row being that of the street image in
    ``lexicon_ann_train.txt``. Both are read: the annotation with its lexicon, and a folder of such crops without any.
    """

    name = "svt"
    hint = "convert_svt.py writes it from test.xml or train.xml of the set"
    more_annotations = {"test": ("annotation_train.txt",)}

    def __init__(self, path: str, split: str = "test", image_folder: str = ""):
        self._rows: list[int] = []
        self._zoo_lines: dict[int, str] | None = None
        super().__init__(path, split, image_folder)

    def find(self, path: str, split: str) -> str:
        """The annotation, or the folder itself (ending in a separator) where it is a folder of crops."""
        try:
            return super().find(path, split)
        except DataError:
            path = check_folder(self.name, path, f"a folder with {self.annotation}", allow_file=True)
            if not any(_CROP.fullmatch(name) for name in os.listdir(path)):
                raise
        for folder in (path, os.path.dirname(os.path.abspath(path))):
            check_finished(self.name, folder)
        return os.path.join(path, "")

    def read_annotation(self, annotation: str) -> ImageList:
        """The lines of the annotation, or the names of the crops in alphabetical order."""
        if os.path.basename(annotation):
            return super().read_annotation(annotation)
        entries = []
        for number, name in enumerate(filter(_is_image, sorted(os.listdir(annotation))), 1):
            found = _CROP.fullmatch(name)
            if not found:
                raise DataError(f"{self.name}: {annotation}{name} does not end in a number and a word, as "
                                f"14_03_0_LIVING.jpg does; expected such crops only, or {self.annotation}")
            entries.append(Entry(number, name, name, found[1]))
        return ImageList("crops with the word in their names", entries)

    def adjusted(self, image: str, word: str, by_comma: bool) -> tuple[str, str]:
        """A number after a second comma is the row of the model zoo's lexicon."""
        found = re.fullmatch(r"(.*),\s*(\d+)", word) if by_comma else None
        self._rows.append(int(found[2]) if found else -1)
        return image, found[1].strip() if found else word

    def lexicon_names(self) -> tuple[str, ...]:
        """As for any set; the model zoo's lexicon is '50'."""
        return super().lexicon_names() or (("50",) if self._zoo_lexicon() else ())

    def lexicon(self, name: str, i: int) -> list[str]:
        """The words among which sample i is to be read; DataError where there are none."""
        path = self._zoo_lexicon() if name == "50" and "50" not in super().lexicon_names() else ""
        if not path:
            return super().lexicon(name, i)
        if self._zoo_lines is None:
            self._zoo_lines = dict(read_lines(path))
        number = self._rows[i] + 1
        if number not in self._zoo_lines:
            raise DataError(f"{path} has no line {number}, wanted for {self.reference(i)}")
        return [word.strip() for word in self._zoo_lines[number].split(",")]

    def shared_lexicon(self, name: str) -> list[str] | None:
        """The 'full' lexicon; None for '50'."""
        return None if name == "50" and self._zoo_lexicon() else super().shared_lexicon(name)

    def _zoo_lexicon(self) -> str:
        path = os.path.join(os.path.dirname(self.annotation_file), _ZOO_LEXICON)
        return path if self._rows and min(self._rows) >= 0 and os.path.isfile(path) else ""


def _is_image(name: str) -> bool:
    return name.lower().endswith((".jpg", ".jpeg", ".png"))
