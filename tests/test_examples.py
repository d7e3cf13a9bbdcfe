"""The examples that people copy: those of docs/python.md and of docstrings give what they say."""
import doctest
import importlib
import re

import pytest

from tests.conftest import REPO


def test_page_about_python(monkeypatch):
    monkeypatch.chdir(REPO)
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "docs" / "python.md").read_text("utf-8"), re.DOTALL)
    example = doctest.DocTestParser().get_doctest("".join(blocks), {}, "docs/python.md", None, None)
    found = doctest.DocTestRunner().run(example)
    assert found.attempted > 15 and found.failed == 0


@pytest.mark.parametrize("name", ["src.recogniser", "src.reading.alignment"])
def test_docstrings(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and found.failed == 0
