"""The mutation test: what it changes, and that it tells a test that looks from one that looks away."""
import ast
import json
import subprocess
from pathlib import Path

import pytest

from src.common.errors import ConfigError
from tests.conftest import REPO
from tools.mutate import (
    BELONGING,
    EQUAL,
    Results,
    draw,
    main,
    mutants,
    mutate,
    read_equal,
    report,
    run_tests,
)

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


def tried(root, count, seed=1, results=None, until=float("inf")):
    chosen = draw({"src/clip.py": mutants("src/clip.py", SOURCE)}, count, seed)
    became = mutate(root, {"src/clip.py": ["test_clip.py"]}, chosen, Results(results), until)
    return chosen, became


def test_survivors_are_named_and_the_checkout_stays(tmp_path, capsys):
    root = repository(tmp_path / "weak", WEAK)
    chosen, became = tried(root, 4, seed=2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "  ->  " in line]
    results = [became[mutant.key] for mutant in chosen["src/clip.py"]]
    assert len(lines) == len(results) == 4 and set(results) == {"killed", "survived"}
    assert [line.split()[0] for line in lines] == results
    assert (root / "src" / "clip.py").read_text(encoding="utf-8") == SOURCE
    assert sorted(path.name for path in root.iterdir()) == [".git", ".gitignore", "ignored", "src", "test_clip.py"]

    survived = [mutant for mutant in chosen["src/clip.py"] if became[mutant.key] == "survived"]
    equal = {survived[0].change: "it is a test"}
    share = report(chosen, became, equal)
    killed, left = 4 - len(survived), len(survived) - 1
    out = capsys.readouterr().out
    assert f"| src/clip.py | 4 | {killed} | 1 | {left} | 0 |" in out and share == 100 * killed / (killed + left)
    assert [line for line in out.splitlines() if line.startswith("SURVIVED")] == [f"SURVIVED {m}" for m in survived[1:]]


def test_a_test_that_looks_kills_all(tmp_path):
    root = repository(tmp_path / "strong", STRONG)
    _, became = tried(root, 99)
    assert list(became.values()) == ["killed"] * 9


def test_a_run_goes_on_and_tries_survivors_again_when_their_tests_changed(tmp_path, capsys):
    root, file = repository(tmp_path / "weak", WEAK), tmp_path / "results"
    assert tried(root, 2, results=file, until=-1)[1] == {} and not file.exists()  # no time at all
    first = tried(root, 2, seed=2, results=file)[1]
    capsys.readouterr()
    assert tried(root, 4, seed=2, results=file)[1].items() > first.items()
    assert "src/clip.py: 2 mutants to try" in capsys.readouterr().out
    assert len(tried(root, 4, seed=2, results=file)[1]) == 4 and capsys.readouterr().out == ""
    (root / "test_clip.py").write_text(STRONG)
    survived = len([entry for entry in map(json.loads, file.read_text().splitlines()) if entry["result"] == "survived"])
    assert list(tried(root, 4, seed=2, results=file)[1].values()) == ["killed"] * 4
    assert 0 < survived < 4 and f"src/clip.py: {survived} mutants to try" in capsys.readouterr().out
    assert json.loads(file.read_text().splitlines()[-1])["by"] == "test_clip.py::test_all"


def test_every_file_gets_a_share():
    found = {name: mutants(name, "x = 1\n" * lines) for name, lines in (("large", 500), ("small", 20), ("tiny", 1))}
    chosen = draw(found, 100, seed=1)
    assert {name: len(mine) for name, mine in chosen.items()} == {"large": 96, "small": 8, "tiny": 2}
    assert draw(found, 100, seed=1) == chosen and draw(found, 100, seed=2)["large"] != chosen["large"]


def test_tests_that_fail_anyway_prove_nothing(tmp_path):
    root = repository(tmp_path / "broken", "def test_all():\n    assert False\n")
    with pytest.raises(ConfigError, match=r"src/clip.py: its tests \(test_clip.py\) end with exit code 1 without any"):
        tried(root, 1)


def test_what_a_mutant_starts_ends_with_it(tmp_path):
    root = repository(tmp_path / "hangs", """import subprocess

def test_all():
    subprocess.run(["sh", "-c", "echo $$ > number; exec sleep 77"])
""")
    assert run_tests(root, ["test_clip.py"], 3.0)[0] is None
    command = Path("/proc") / (root / "number").read_text().strip() / "cmdline"
    assert not command.exists() or command.read_bytes() == b""  # gone, or dead and not yet forgotten


def test_every_file_has_its_tests():
    for path, tests in BELONGING.items():
        assert len(mutants(path, (REPO / path).read_text(encoding="utf-8"))) > 10
        assert tests and all((REPO / name.split("::")[0]).is_file() for name in tests)
    with pytest.raises(ConfigError, match="no tests are known"):
        main(["--only", "src/nothing.py"])


def test_every_equal_mutant_is_one():
    changes = {mutant.change for path in BELONGING
               for mutant in mutants(path, (REPO / path).read_text(encoding="utf-8"))}
    equal = read_equal(EQUAL)
    assert set(equal) <= changes and all(len(why) > 10 for why in equal.values())
