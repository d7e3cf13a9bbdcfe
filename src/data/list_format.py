"""Lists of images and words in the formats people have; which one a file is in is decided from all of its lines."""
import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from src.common.errors import DataError
from src.common.files import parse_json, read_bytes, read_lines

SCRIPTS = ("Arabic", "Latin", "Chinese", "Japanese", "Korean", "Bangla", "Hindi", "Symbols", "Mixed", "None")
_ENDING = r"\.(?:jpe?g|png|bmp|webp|tiff?|ppm|pgm|gif|jp2)"
_IMAGE = re.compile(rf".*{_ENDING}", re.IGNORECASE)
_BLANK = re.compile(rf"\s*(\S.*?{_ENDING})(?: +(.*))?", re.IGNORECASE)
_QUOTED = re.compile(r'\s*([^\t"]*?)\s*,\s*"(.*)"\s*')
_CELL = re.compile(r'"(?:[^"]|"")*"')
_CUTE = re.compile(rf"\s*(\S+{_ENDING})\s+(\S+)\s+\d+\s+(\S+)\s*", re.IGNORECASE)
_SEMICOLON = re.compile(rf"\s*([^;,\t]*{_ENDING})\s*;(.*)", re.IGNORECASE)
_COMMENT = re.compile(rf"\s*#(?!\S*{_ENDING})", re.IGNORECASE)
_NUMBER_BEHIND = re.compile(r".*,\s*(?:0?\.\d+|0|1|1\.0*)\s*")
_HALF = re.compile("[\ud800-\udfff]")  # of a pair of UTF-16, which JSON can write alone
_MJSYNTH = re.compile(r".*_(\d+)\.jpg", re.IGNORECASE)
_IMAGE_COLUMNS = ("filename", "file_name", "file", "img_path", "image_path", "imgpath", "img_name", "image_name",
                  "imgname", "image", "images", "img", "path")
_WORD_COLUMNS = ("words", "word", "text", "texts", "label", "labels", "gt", "ground_truth", "transcription", "truth",
                 "caption")

Pair = tuple[str, str]
Split = Callable[[str], Pair | None]


class Entry(NamedTuple):
    """One image with its word.

    Attributes:
        number: of the line, or of the entry in a JSON file, from 1.
        line: as it stands there.
        image: path of the image, as given.
        word: its text; '' where there is none.
    """

    number: int
    line: str
    image: str
    word: str


@dataclass
class ImageList:
    """A file of images and words, its format recognised.

    Attributes:
        format: for people, such as ``path, tab and word``.
        entries: of all lines.
        notes: what was passed over or should be known.
        separator: what stands between path and word; '' where the format has more to it.
        unit: what the numbers of the entries count.
    """

    format: str
    entries: Sequence[Entry]
    notes: list[str] = field(default_factory=list)
    separator: str = ""
    unit: str = "line"


def _tab(line: str) -> Pair | None:
    image, found, word = line.partition("\t")
    return (image.strip(), word.strip()) if found and "\t" not in word else None


def _comma(line: str) -> Pair | None:
    """At the first comma, unless the name of an image and a blank stand before it; or at a tab, as our own lists."""
    if "\t" in line:
        return _tab(line)
    image, found, word = line.partition(",")
    plain = _IMAGE.fullmatch(image.strip()) or not _BLANK.match(image)
    return (image.strip(), word.strip()) if found and plain else None


def _blank(line: str) -> Pair | None:
    found = _BLANK.fullmatch(line)
    return (found[1], (found[2] or "").strip()) if found else None


def _semicolon(line: str) -> Pair | None:
    found = _SEMICOLON.fullmatch(line)
    return (found[1].strip(), found[2].strip()) if found else None


def _quoted(line: str) -> Pair | None:
    r"""As the ICDAR challenges write it: from the first ``, "`` to the last quote, ``\"`` and ``\\`` inside it."""
    found = _QUOTED.fullmatch(line)
    return (found[1], re.sub(r'\\(["\\])', r"\1", found[2]).strip()) if found else None


def _cute(line: str) -> Pair | None:
    found = _CUTE.fullmatch(line)
    return (found[1], found[2]) if found and found[2].lower() == found[3].lower() else None


def _mlt(line: str) -> Pair | None:
    parts = line.split(",", 2)
    known = len(parts) == 3 and _IMAGE.fullmatch(parts[0].strip()) and parts[1].strip().title() in SCRIPTS
    return (parts[0].strip(), line.partition(",")[2].strip()) if known else None


_QUOTES = "path, comma and word in quotes"
MLT = "path, comma, script, comma and word (MLT)"
# Name, separator where the format has no more to it, and how a line is split; the first that fits all lines counts.
_FORMATS: tuple[tuple[str, str, Split], ...] = (
    (_QUOTES, "", _quoted),
    ("path, tab and word", "\t", _tab),
    (MLT, "", _mlt),
    ("path, word, number and word again (CUTE80)", "", _cute),
    ("path, comma and word (a tab where either holds a comma)", ",", _comma),
    ("path, semicolon and word", ";", _semicolon),
    ("path, blank and word", " ", _blank),
)


def read_list(path: str) -> ImageList:
    """Reads a list.

    Formats: path and word with a tab, a comma, a semicolon or a blank between them; several images in brackets with
    one word (PaddleOCR); words in quotes (ICDAR); CSV and tables with a header; four columns (CUTE80); a column of
    scripts (MLT); JSON and JSON lines (docTR, MMOCR, Hugging Face). Lines that begin with ``#`` and no name of an
    image are passed over.

    Raises:
        DataError: it cannot be read, is empty, or a line is not of the format that most lines have.

    Examples:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        ...     print('word_1.png, "Tiredness"', 'word_2.png, "kills"', sep=chr(10), file=file, flush=True)
        ...     found = read_list(file.name)
        >>> found.format, [(entry.image, entry.word) for entry in found.entries]
        ('path, comma and word in quotes', [('word_1.png', 'Tiredness'), ('word_2.png', 'kills')])
    """
    if re.match(rb"(?:\xef\xbb\xbf)?\s*(?:\{|\[\s*\{)", read_bytes(path)[:4096]):
        return _read_json(path)
    lines = read_lines(path)
    if not lines:
        raise DataError(f"{path} holds no words: expected lines of path, tab (or comma) and word")
    for number, line in lines:
        if "\r" in line:
            raise DataError(f"{path}, line {number}: a carriage return inside the line: {line[:80]!r}; save the file "
                            "with the line breaks of Unix or Windows")
    content = [(number, line) for number, line in lines if not _COMMENT.match(line)] or lines
    found = _read_text(path, content)
    if len(content) < len(lines):
        number = next(number for number, line in lines if _COMMENT.match(line))
        found.notes.append(f"{len(lines) - len(content)} lines that begin with # are passed over, the first is line "
                           f"{number}")
    return found


def _read_text(path: str, lines: list[tuple[int, str]]) -> ImageList:
    for delimiter in "\t" if "\t" in lines[0][1] else ",;":
        first = _cells(path, *lines[0], delimiter)
        columns = _columns(first)
        if columns is not None:
            return _read_table(path, lines, first, delimiter, *columns)
    if path.lower().endswith(".csv") and not all(_fits(lines, _semicolon)):
        return _read_cells(path, lines, "CSV", [])
    return _read_plain(path, lines)


def _read_plain(path: str, lines: list[tuple[int, str]]) -> ImageList:
    for name, separator, split in _FORMATS:
        entries = _entries(lines, split)
        if entries is None:
            continue
        if name == _QUOTES and any('""' in line for _, line in lines) and not any('\\"' in line for _, line in lines):
            return _read_cells(path, lines, _QUOTES, [])  # quotes inside are doubled, as in CSV
        in_quotes = _fits(lines, _quoted) if separator == "," else []
        if in_quotes and 2 * sum(in_quotes) >= len(lines):
            raise _other_line(path, lines, in_quotes, _QUOTES)
        if separator == "\t" and any(entry.image.startswith("[") for entry in entries):
            entries = [entry._replace(image=image) for entry in entries for image in _several(entry.image)]
        if separator == " " and not any(entry.word for entry in entries):
            break
        return _checked(path, ImageList(name, entries, separator=separator))
    else:
        fits, name = max(((_fits(lines, split), name) for name, _, split in _FORMATS), key=lambda one: sum(one[0]))
        raise _other_line(path, lines, fits, name)
    number, line = lines[0]
    raise DataError(f"{path}, line {number}: expected path, tab (or comma) and word, but no line has a word: {line!r}")


def _fits(lines: list[tuple[int, str]], split: Split) -> list[bool]:
    return [split(line) is not None for _, line in lines]


def _entries(lines: list[tuple[int, str]], split: Split) -> list[Entry] | None:
    """The entries of all lines; None where one of them is not of this format."""
    entries = []
    for number, line in lines:
        pair = split(line)
        if pair is None:
            return None
        entries.append(Entry(number, line, *pair))
    return entries


def _several(image: str) -> list[str]:
    """The images of ``["a.jpg", "b.jpg"]``, which PaddleOCR writes before a word that they share."""
    if image.startswith("["):
        try:
            several = parse_json(image)
        except ValueError:
            return [image]
        if several and all(isinstance(one, str) for one in several):
            return [one.strip() for one in several]
    return [image]


def _checked(path: str, found: ImageList) -> ImageList:
    """Refuses what has the form of a list of words but is something else; notes what looks like it."""
    entries = found.entries
    if all(entry.word.startswith("[{") and '"points"' in entry.word for entry in entries):
        raise DataError(f"{path} has the boxes of words in photographs, not words: cut the words out first (in "
                        "PPOCRLabel: File, Export recognition results) and give the list of the crops, rec_gt.txt")
    if all((name := _MJSYNTH.fullmatch(entry.image)) and name[1] == entry.word for entry in entries):
        raise DataError(f"{path} is an annotation of MJSynth: its numbers are rows of lexicon.txt, not words; read its "
                        "folder as synth")
    if all(_IMAGE.fullmatch(entry.word) and not _IMAGE.fullmatch(entry.image) for entry in entries):
        raise DataError(f"{path}, line {entries[0].number}: the word stands before the path of the image: "
                        f"{entries[0].line!r}; change the order, or put the head words,filename on top")
    numbers = [entry.word.rpartition(",")[2] for entry in entries if _NUMBER_BEHIND.fullmatch(entry.word)]
    if found.separator != "\t" and len(numbers) == len(entries) > 1 and any("." in number for number in numbers):
        raise DataError(f"{path}, line {entries[0].number}: a number of 0 to 1 stands behind a comma at the end of all "
                        f"lines: {entries[0].line!r}; if it is a confidence, put the head filename,words,confidence on "
                        "top, so that it does not become part of the words")
    is_image = (_IMAGE.fullmatch(entry.image) is not None for entry in entries)
    if len(entries) > 2 and not next(is_image) and all(is_image):
        raise DataError(f"{path}, line {entries[0].number}: looks like the head of a table, but its names are not "
                        f"known: {entries[0].line!r}; call the columns filename and words, or remove the line")
    values = {entry.word.partition(",")[0] for entry in entries}
    if len(entries) >= 20 and all("," in entry.word for entry in entries) and len(values) <= 10:
        found.notes.append(f"warning: all words begin with one of {len(values)} texts and a comma, such as "
                           f"{entries[0].word!r}: is that a column of its own?")
    return found


def _other_line(path: str, lines: list[tuple[int, str]], fits: list[bool], name: str) -> DataError:
    number, line = lines[fits.index(False)]
    if not any(fits):
        return DataError(f"{path}, line {number}: expected path, tab (or comma) and word: {line!r}")
    return DataError(f"{path}, line {number}: expected {name}, as {sum(fits)} of its {len(fits)} lines have them: "
                     f"{line!r}")


def _columns(names: list[str]) -> tuple[int, int] | None:
    """Where image and word stand in a table whose head has these names; None where it is no head."""
    plain = [name.strip().lower().replace(" ", "_") for name in names]
    image = next((plain.index(name) for name in _IMAGE_COLUMNS if name in plain), None)
    word = next((plain.index(name) for name in _WORD_COLUMNS if name in plain), None)
    return None if image is None or word is None else (image, word)


def _cells(path: str, number: int, line: str, delimiter: str) -> list[str]:
    """The cells of a line of CSV.

    Raises:
        DataError: a cell of more than 131,072 characters.
    """
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"{path}, line {number}: {error}: {line[:80]!r}") from error


def _read_table(path: str, lines: list[tuple[int, str]], names: list[str], delimiter: str, image: int,
                word: int) -> ImageList:
    number, head = lines[0]
    notes = [f"line {number}, the head {head!r}, is passed over"]
    if len(lines) < 2:
        raise DataError(f"{path} holds no words, only the head of a table: {head!r}")
    if len(names) == 2 and (image, word) == (0, 1) and delimiter == ",":
        return _read_cells(path, lines[1:], "CSV with a head", notes)
    entries = []
    for number, line in lines[1:]:
        cells = line.split("\t") if delimiter == "\t" else _cells(path, number, line, delimiter)
        if len(cells) != len(names):
            raise DataError(f"{path}, line {number}: expected {len(names)} columns as in its head {head!r}: {line!r}")
        entries.append(Entry(number, line, cells[image].strip(), cells[word].strip()))
    return ImageList("a table with a head", entries, notes)


def _read_cells(path: str, lines: list[tuple[int, str]], name: str, notes: list[str]) -> ImageList:
    """Path, comma and word; quotes around words are undone where all that begin with one are whole cells of CSV."""
    pairs = []
    for number, line in lines:
        image, found, word = line.partition(",")
        if not found:
            raise DataError(f"{path}, line {number}: expected path, comma and word ({name}): {line!r}")
        pairs.append((image.strip().strip('"'), word.strip()))
    in_quotes = [word for _, word in pairs if word.startswith('"')]
    if in_quotes and all(_CELL.fullmatch(word) for word in in_quotes):
        pairs = [(image, word[1:-1].replace('""', '"').strip() if word.startswith('"') else word)
                 for image, word in pairs]
        notes = [*notes, f"quotes around {len(in_quotes)} words are undone"]
    entries = [Entry(number, line, image, word)
               for (number, line), (image, word) in zip(lines, pairs, strict=True)]
    return _checked(path, ImageList(name, entries, notes))


def _read_json(path: str) -> ImageList:
    text = "\n".join(line for _, line in read_lines(path))
    try:
        pairs, name = list(_json_pairs(parse_json(text, _all_keys))), "JSON"
    except json.JSONDecodeError:
        pairs, name = [], "JSON lines"
        for number, line in read_lines(path):
            try:
                pairs += [(number, image, word) for _, image, word in _json_pairs([parse_json(line)])]
            except (json.JSONDecodeError, DataError) as error:
                raise DataError(f"{path}, line {number}: not a JSON object with image and word ({error})") from error
    except DataError as error:
        raise DataError(f"{path}, {error}") from error
    if not pairs:
        raise DataError(f"{path} holds no words")
    entries = [Entry(number, f"{image}: {word}", image.strip(), word.strip()) for number, image, word in pairs]
    return ImageList(name, entries, unit="entry" if name == "JSON" else "line")


def _all_keys(pairs: list[tuple[str, Any]]) -> Any:
    """An object of JSON; a list of entries where it names an image (docTR) twice, of which Python keeps one."""
    if len({key for key, _ in pairs}) == len(pairs) or _columns([key for key, _ in pairs]) is not None:
        return dict(pairs)
    return [{"image": key, "text": value} for key, value in pairs]


def _mmocr_items(entry: Any) -> list[Any]:
    """Image and word of each instance of an entry; the entry itself where it is built otherwise, to be refused."""
    instances = entry.get("instances") if isinstance(entry, dict) else None
    if not instances or not isinstance(instances, list) or not all(isinstance(each, dict) for each in instances):
        return [entry]
    return [{"image": entry.get("img_path"), "text": instance.get("text")} for instance in instances]


def _json_pairs(data: Any) -> Iterator[tuple[int, str, str]]:
    """Number, image and word of all entries; DataError, beginning with its number, for one that is neither."""
    if isinstance(data, dict) and isinstance(data.get("data_list"), list):  # MMOCR 1
        items = [item for entry in data["data_list"] for item in _mmocr_items(entry)]
    elif isinstance(data, dict) and _columns(list(data)) is None:  # docTR: name of the image -> word
        items = [{"image": image, "text": word} for image, word in data.items()]
    else:
        items = data if isinstance(data, list) else [data]
    for number, item in enumerate(items, 1):
        keys = list(item) if isinstance(item, dict) else []
        columns = _columns(keys)
        if columns is None or not all(isinstance(item[keys[place]], str) for place in columns):
            raise DataError(f"entry {number}: expected an image and its word as texts: {str(item)[:80]}")
        image, word = (item[keys[place]] for place in columns)
        if _HALF.search(image + word):
            raise DataError(f"entry {number}: an escape such as \\ud800 stands for half a character: {str(item)[:80]}; "
                            "write the character itself")
        yield number, image, word
