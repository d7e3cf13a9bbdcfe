"""IC13 and the other lists in the form of the ICDAR challenges: lines ``word_1.png, "Tiredness"``."""
import re

from src.common.errors import DataError
from src.data.source import ImageListSource


class QuotedListSource(ImageListSource):
    r"""A list of the ICDAR challenges: file name, comma, and the word in quotes, with ``\"`` and ``\\`` inside it.

    The word begins after the first ``, "`` and ends at the last quote of the line, so commas and quotes may stand in
    it. Lines of any other form are those of :class:`src.data.source.ImageListSource`.
    """

    def parse_line(self, line: str, file: str, number: int) -> tuple[str, str]:
        """Path and word; DataError where the closing quote is missing."""
        found = re.match(r'\s*([^\t"]*?)\s*,\s*"(.*)$', line)
        if not found:
            return super().parse_line(line, file, number)
        image, text = found[1], found[2].rstrip()
        if not text.endswith('"'):
            raise DataError(f"{file}, line {number}: the closing quote is missing: {line!r}")
        return image, re.sub(r'\\(["\\])', r"\1", text[:-1]).strip()


class IC13Source(QuotedListSource):
    """ICDAR 2013 Focused Scene Text, task 3 (848 training and 1,095 test words), read as it comes."""

    name = "ic13"
    hint = "or Challenge2_Test_Task3_GT.txt, or gt.txt of the training set"
    more_annotations = {
        "test": ("Challenge2_Test_Task3_GT.txt",),
        "train": ("gt.txt", "Challenge2_Training_Task3_Images_GT/gt.txt"),
    }
    image_folders = ("Challenge2_Test_Task3_Images",)
