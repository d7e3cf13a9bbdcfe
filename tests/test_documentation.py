"""The pages people read: links lead somewhere, both languages say the same, written tables are up to date."""
import re
import unicodedata
from pathlib import Path

import pytest

from tools import draw_accuracy, write_configuration

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("pretrained/*.md")])
PAIRS = [(ROOT / "README.md", ROOT / "README_CN.md"),
         *((path, ROOT / "docs" / "zh" / path.name) for path in sorted(ROOT.glob("docs/*.md")))]
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
COMMENT = re.compile(r"\s+#.*$|^#.*\n?", re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(path: Path) -> list[str]:
    """Relative links and anchors of a page that lead nowhere."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", path.read_text("utf-8"))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists() or anchor and anchor not in anchors(there):
            found.append(target)
    return found


def long_paragraphs(path: Path) -> list[str]:
    """How paragraphs begin that have more than five lines; Chinese ones, without line breaks, count by their width."""
    found = []
    for paragraph in BLOCK.sub("\n\n", path.read_text("utf-8")).split("\n\n"):
        if not re.match(r"\s*(\||#|!|\* |- |\d+\. |<)", paragraph):
            wide = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in paragraph)
            if len(paragraph.strip().splitlines()) > 5 or "zh" in path.parts and wide > 600:
                found.append(paragraph.strip()[:60])
    return found


@pytest.mark.parametrize("path", [page for pair in PAIRS for page in pair], ids=lambda page: page.stem)
def test_paragraphs_are_short(path):
    assert long_paragraphs(path) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    assert dead_links(path) == []


def test_a_dead_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One head\n[a](page.md#one-head) [b](page.md#two) [c](nothing.md) [d](https://example.org)\n")
    assert dead_links(page) == ["page.md#two", "nothing.md"]


def commands(text: str) -> list[str]:
    """The code of a page without comments, which are in the language of the page."""
    return [COMMENT.sub("", body) for kind, body in BLOCK.findall(text) if kind in ("bash", "yaml", "python", "json")]


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda path: path.stem)
def test_both_languages_say_the_same(english, chinese):
    """As far as a program can tell: the same headings by level, commands, tables and pictures, the same figures."""
    texts = [path.read_text("utf-8").partition(write_configuration.BEGIN)[0] for path in (english, chinese)]
    for what, pattern in (("headings", r"^#+(?= )"), ("rows of tables", r"^\|"), ("figures", r"!\[")):
        one, other = (re.findall(pattern, BLOCK.sub("", text), re.MULTILINE) for text in texts)
        assert one == other, what
    assert commands(texts[0]) == commands(texts[1])


@pytest.mark.parametrize("path", write_configuration.HEADS)
def test_tables_of_options_are_up_to_date(path):
    assert (ROOT / path).read_text("utf-8") == write_configuration.page(path), "run tools/write_configuration.py"


def test_picture_of_the_accuracy_is_up_to_date():
    assert draw_accuracy.PICTURE.read_text() == draw_accuracy.draw(), "run tools/draw_accuracy.py"


def test_front_door_is_short():
    for name in ("README.md", "README_CN.md"):
        assert len((ROOT / name).read_text("utf-8").splitlines()) <= 150
