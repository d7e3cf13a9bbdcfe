"""The examples that people copy: those of the pages and of docstrings give what they say."""
import doctest
import importlib
import re

import cv2
import mindspore as ms
import pytest

from src.dataset import SOURCES
from tests.conftest import REPO
from tests.words import draw_word

FILES = [path for path in sorted((REPO / "src").rglob("*.py")) if ">>> " in path.read_text()]


def test_page_about_python(monkeypatch):
    monkeypatch.chdir(REPO)
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "python.md").read_text("utf-8"), re.DOTALL)
    example = doctest.DocTestParser().get_doctest("".join(blocks), {}, "docs/python.md", None, None)
    found = doctest.DocTestRunner().run(example)
    assert found.attempted > 15 and found.failed == 0


def test_readme(monkeypatch, tmp_path, capsys):
    image = draw_word("harbour")
    cv2.imwrite(str(tmp_path / "photo_of_a_word.jpg"), image)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (REPO / "README.md").read_text("utf-8"), re.DOTALL)
    exec(block, {})
    assert capsys.readouterr().out == "harbour\n"


def test_page_about_extending(monkeypatch, tmp_path):
    """The examples in a folder of their own; each is under 20 lines."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(REPO / "docs")
    monkeypatch.setattr("src.dataset.SOURCES", dict(SOURCES))
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)  # a graph is compiled from a file's text, and the page is none
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "extending.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 4 and all(len(block.splitlines()) < 20 for block in blocks)
    try:
        for number, block in enumerate(blocks):
            example = doctest.DocTestParser().get_doctest(block, {}, f"example {number}", "docs/extending.md", None)
            found = doctest.DocTestRunner().run(example)
            assert found.attempted > 4 and found.failed == 0
    finally:
        ms.set_context(mode=mode)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPO)))
def test_examples(path):
    name = ".".join(path.relative_to(REPO).with_suffix("").parts)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed


def test_there_are_many():
    assert len(FILES) >= 12
