"""IC03: a folder with word crops and the annotation.txt that convert_ic03.py writes."""
from src.data.image_list import ImageListSource


class IC03Source(ImageListSource):
    """ICDAR 2003 Robust Word Recognition; also the model zoo's lines, ``path,word,`` with a comma at the end."""

    name = "ic03"
    hint = "convert_ic03.py writes it from words.xml of the set"

    def adjusted(self, image: str, word: str, by_comma: bool) -> tuple[str, str]:
        """One comma at the end of a word is not part of it, in lists with commas."""
        return image, word.removesuffix(",").strip() if by_comma else word
