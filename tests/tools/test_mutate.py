"""The mutation test: what it changes, and that it tells a test that looks from one that looks away."""
import ast
import subprocess

import pytest

from src.common.errors import ConfigError
from tests.conftest import REPO
from tools.mutate import BELONGING, main, mutants, mutate

SOURCE = '''"""A module."""
LIMIT: int = 3


def clip(x: int, least: int = 0) -> int:
    """Keeps x between two bounds, 0 and 9."""
    if not x or x - 1 < least:
        raise ValueError(f"{x + 1} is {'x' * 2}")
    return x  # größer
'''
STRONG = """import pytest
from src.clip import LIMIT, clip

def test_all():
    assert LIMIT == 3 and clip(1) == 1 and clip(5, 2) == 5
    for x, least in ((0, -9), (2, 2)):
        with pytest.raises(ValueError):
            clip(x, least)
"""
WEAK = "from src.clip import clip\n\ndef test_all():\n    assert clip(5) == 5\n"


def test_what_is_changed():
    found = mutants("clip.py", SOURCE)
    assert [(mutant.line, mutant.old, mutant.new) for mutant in found] == [
        (2, "3", "4"),
        (5, "0", "1"),
        (7, "not x or x - 1 < least", "(not x and x - 1 < least)"),
        (7, "not x", "(x)"),
        (7, "x - 1 < least", "(x - 1 <= least)"),
        (7, "x - 1", "(x + 1)"),
        (7, "1", "2"),
        (8, """raise ValueError(f"{x + 1} is {'x' * 2}")""", "pass"),
        (9, "return x", "return None")]
    for mutant in found:
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(SOURCE)) and "# größer" in mutant.source
        assert len([1 for a, b in zip(mutant.source.splitlines(), SOURCE.splitlines(), strict=True) if a != b]) == 1


def repository(folder, test):
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "clip.py").write_text(SOURCE, encoding="utf-8")
    (folder / "test_clip.py").write_text(test)
    (folder / ".gitignore").write_text("ignored\n")
    (folder / "ignored").write_text("x")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


def test_survivors_are_named_and_the_checkout_stays(tmp_path, capsys):
    root = repository(tmp_path / "weak", WEAK)
    results = mutate(root, {"src/clip.py": ["test_clip.py"]}, 4, seed=3)["src/clip.py"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "  ->  " in line]
    assert len(lines) == len(results) == 4 and 0 < sum(results) < 4
    assert [line.startswith("killed") for line in lines] == results
    assert any(line.startswith("SURVIVED src/clip.py:") for line in lines)
    assert (root / "src" / "clip.py").read_text(encoding="utf-8") == SOURCE
    assert sorted(path.name for path in root.iterdir()) == [".git", ".gitignore", "ignored", "src", "test_clip.py"]


def test_a_test_that_looks_kills_all(tmp_path):
    root = repository(tmp_path / "strong", STRONG)
    assert mutate(root, {"src/clip.py": ["test_clip.py"]}, 99, seed=1)["src/clip.py"] == [True] * 9


def test_tests_that_fail_anyway_prove_nothing(tmp_path):
    root = repository(tmp_path / "broken", "def test_all():\n    assert False\n")
    with pytest.raises(ConfigError, match=r"src/clip.py: its tests \(test_clip.py\) end with exit code 1 without any"):
        mutate(root, {"src/clip.py": ["test_clip.py"]}, 1, seed=1)


def test_every_file_has_its_tests():
    for path, tests in BELONGING.items():
        assert len(mutants(path, (REPO / path).read_text(encoding="utf-8"))) > 10
        assert tests and all((REPO / name).is_file() for name in tests)
    with pytest.raises(ConfigError, match="no tests are known"):
        main(["--only", "src/nothing.py"])
