"""IC03: a folder with word crops and the annotation.txt that convert_ic03.py writes."""
from src.data.source import ImageListSource


class IC03Source(ImageListSource):
    """ICDAR 2003 Robust Word Recognition; also the model zoo's lines, ``path,word,`` with a comma at the end."""

    name = "ic03"
    hint = "convert_ic03.py writes it from words.xml of the set"

    def parse_line(self, line: str, file: str, number: int) -> tuple[str, str]:
        """Path and word; one comma at the end of a line without tabs is not part of the word."""
        image, text = super().parse_line(line, file, number)
        return image, text if "\t" in line else text.removesuffix(",").strip()
