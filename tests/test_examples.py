"""The examples that people copy: those of docs/python.md and of docstrings give what they say."""
import doctest
import importlib
import re

import mindspore as ms
import pytest

from src.dataset import SOURCES
from tests.conftest import REPO


def test_page_about_python(monkeypatch):
    monkeypatch.chdir(REPO)
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "python.md").read_text("utf-8"), re.DOTALL)
    example = doctest.DocTestParser().get_doctest("".join(blocks), {}, "docs/python.md", None, None)
    found = doctest.DocTestRunner().run(example)
    assert found.attempted > 15 and found.failed == 0


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


@pytest.mark.parametrize("name", ["src.recogniser", "src.reading.alignment"])
def test_docstrings(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and found.failed == 0
