"""The program that tries versions: what it installs and how it sums up."""
import pytest

from src.common.errors import ConfigError
from tests.conftest import REPO
from tools import try_versions
from tools.try_versions import in_short, main, pin_of_pytest, requirements


def test_what_is_installed():
    text = (REPO / "requirements.txt").read_text()
    changed = requirements("9.8.7", text)
    different = [pair for pair in zip(text.splitlines(), changed.splitlines(), strict=True) if len(set(pair)) > 1]
    assert [new for _, new in different] == ["mindspore==9.8.7"]
    assert pin_of_pytest((REPO / "requirements-dev.txt").read_text()).startswith("pytest==")
    for function, arguments in ((requirements, ("1", "numpy==1\n")), (pin_of_pytest, ("ruff==1\n",))):
        with pytest.raises(ConfigError, match="expected"):
            function(*arguments)


@pytest.mark.parametrize("output, expected", [
    ("x\n12 passed, 3 skipped, 4 deselected in 5.01s\n", "12 passed, 3 skipped"),
    ("1 failed, 12 passed, 2 warnings, 3 errors in 5.01s (0:01:02)\n", "1 failed, 3 error, 12 passed"),
    ("no tests ran in 0.01s\n", "no test ran (exit code 5)"), ("", "no test ran (exit code 5)")])
def test_the_last_line_in_short(output, expected):
    assert in_short(output, 5) == expected


def test_the_table(monkeypatch, capsys):
    results = {"2.8.0": ("3 passed", 0), "2.7.1": ("1 failed, 2 passed", 1)}
    monkeypatch.setattr(try_versions, "try_one", lambda python, mindspore, tests, log: results[mindspore])
    import sys
    version = sys.version.split()[0]
    assert main(["--python", sys.executable, "--mindspore", "2.8.0"]) == 0
    assert main(["--python", sys.executable, "--mindspore", "2.7.1", "2.8.0"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"| 2.7.1 | {version} | 1 failed, 2 passed |", f"| 2.8.0 | {version} | 3 passed |"]
    with pytest.raises(ConfigError, match="--python no-such-python: this interpreter does not start"):
        main(["--python", "no-such-python"])
