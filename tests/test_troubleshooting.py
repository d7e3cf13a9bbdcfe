"""docs/troubleshooting.md quotes what the programs print: each message is in the code, in both languages the same."""
import ast
import re

import pytest

from tests.conftest import REPO

GAP = "…"
PAGES = ("docs/troubleshooting.md", "docs/zh/troubleshooting.md")


def messages(page):
    """What the first column of the tables quotes as a whole."""
    text = (REPO / page).read_text("utf-8")
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


def texts_of_code():
    """The texts of all modules, with a gap where a value is put in, a line for each."""
    found = []
    for path in (*(REPO / "src").rglob("*.py"), *REPO.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "\0"
                                     for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def is_printed(message, texts):
    """Whether some text has the parts of a message in their order, and a value in each gap."""
    pattern = ".*\0.*".join(map(re.escape, message.split(GAP)))
    pattern = pattern.removeprefix(".*").removesuffix(".*")
    return any(re.search(pattern, text, re.DOTALL) for text in texts)


@pytest.mark.parametrize("page", PAGES)
def test_quoted_messages_are_in_the_code(page):
    texts = texts_of_code()
    quoted = messages(page)
    assert len(quoted) > 20
    assert [message for message in quoted if not is_printed(message, texts)] == []


def test_a_message_that_nobody_prints_is_found():
    texts = texts_of_code()
    assert not is_printed("the gradient of … steps in a row was finite", texts)
    assert is_printed("unknown data set …", texts)


def test_both_languages_quote_the_same():
    assert messages(PAGES[0]) == messages(PAGES[1])
