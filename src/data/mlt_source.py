"""Word lists of ICDAR MLT 2017 and 2019: ``word_1.png,Latin,word``, with the script of each word."""
from collections.abc import Sequence

from src.common.errors import ConfigError, DataError
from src.data.list_format import MLT, SCRIPTS, Entry, ImageList, read_list
from src.data.list_source import ListSource


class MLTSource(ListSource):
    """Words with their scripts, all of them or those of some scripts.

    Args:
        path: the folder, or the list itself.
        split: 'train', 'val' or 'test', where one folder holds several lists.
        image_folder: what the paths of the images are relative to; empty: it is looked for.
        scripts: to read, with commas, such as ``Latin,Arabic``; empty: all.

    Raises:
        ConfigError: a script that MLT does not have.
        DataError: as for any list, or no word has these scripts.
    """

    name = "mlt"
    takes = ("image_folder", "scripts")

    def __init__(self, path: str, split: str = "test", image_folder: str = "", scripts: str = ""):
        self._wanted = [name.strip().title() for name in scripts.split(",") if name.strip()]
        for name in self._wanted:
            if name not in SCRIPTS:
                raise ConfigError(f"mlt_scripts: {name!r} is none of {', '.join(SCRIPTS)}")
        super().__init__(path, split, image_folder)

    def read_annotation(self, annotation: str) -> ImageList:
        """Its entries of the scripts wanted; DataError for any other list."""
        listed = read_list(annotation)
        if listed.format != MLT:
            raise DataError(f"{annotation} is no list of MLT, {listed.format} was found: read it as list")
        entries, scripts = [], {}
        for number, line, image, text in listed.entries:
            script, _, word = text.partition(",")
            script = script.strip().title()
            scripts[script] = scripts.get(script, 0) + 1
            if not self._wanted or script in self._wanted:
                entries.append(Entry(number, line, image, word.strip()))
        counts = ", ".join(f"{script} {count}" for script, count in scripts.items())
        if not entries:
            raise DataError(f"{annotation} has no word in {', '.join(self._wanted)}; it has: {counts}")
        return ImageList(listed.format, entries, [*_said(counts, len(entries), self._wanted)])


def _said(counts: str, used: int, wanted: Sequence[str]) -> list[str]:
    return [f"scripts: {counts}" + (f"; {used} words in {', '.join(wanted)} are read" if wanted else "")]
