"""Runs the tests that touch MindSpore in fresh environments, one for each version, and prints a table."""
import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import ConfigError, run_main

ROOT = Path(__file__).resolve().parent.parent
MINDSPORE = ("2.8.0", "2.9.0", "2.10.0")
TESTS = ("tests/network", "tests/onednn", "tests/training", "tests/deploy/test_export.py",
         "tests/evaluation/test_metric.py", "tests/model_utils", "tests/test_recogniser.py")
"""What touches MindSpore's programming interface: the network, our operators, training, export, the Python class."""
_DESCRIPTION = f"""For each interpreter and each version of MindSpore: makes an environment, installs requirements.txt
(with that version of MindSpore) and pytest, runs tests, removes the environment. Prints a line when one is done and a
table at the end. The default are the tests that touch MindSpore: {' '.join(TESTS)}; `--tests tests` runs all. An
environment takes 4 GB. Exit code 1 where a test failed."""
_COUNT = re.compile(r"(\d+) (failed|passed|skipped|error)")


def requirements(mindspore: str, text: str) -> str:
    """requirements.txt with another version of MindSpore.

    Raises:
        ConfigError: the file pins no MindSpore.
    """
    changed, count = re.subn(r"^mindspore==\S+$", f"mindspore=={mindspore}", text, flags=re.MULTILINE)
    if count != 1:
        raise ConfigError("requirements.txt: expected one line mindspore==VERSION")
    return changed


def pin_of_pytest(text: str) -> str:
    """The line of requirements-dev.txt that pins pytest.

    Raises:
        ConfigError: there is none.
    """
    found = re.search(r"^pytest==\S+$", text, flags=re.MULTILINE)
    if found is None:
        raise ConfigError("requirements-dev.txt: expected a line pytest==VERSION")
    return found[0]


def in_short(output: str, code: int) -> str:
    """What pytest printed last, in a cell of the table: "12 passed, 1 skipped"."""
    lines = [line for line in output.splitlines() if _COUNT.search(line) and " in " in line]
    counts = {word: int(number) for number, word in _COUNT.findall(lines[-1])} if lines else {}
    if not counts:
        return f"no test ran (exit code {code})"
    return ", ".join(f"{counts[word]} {word}" for word in ("failed", "error", "passed", "skipped") if word in counts)


def try_one(python: str, mindspore: str, tests: Sequence[str], log: Path | None) -> tuple[str, int]:
    """Makes an environment, runs the tests in it and removes it.

    Args:
        python: interpreter to make it with.
        mindspore: version.
        tests: arguments of pytest.
        log: file that gets what pip and pytest print; None for nowhere.

    Returns:
        What came of it, in short, and pytest's or pip's exit code.
    """
    with tempfile.TemporaryDirectory(prefix="crnn-versions-") as folder:
        inside = str(Path(folder, "env", "bin", "python"))
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(requirements(mindspore, (ROOT / "requirements.txt").read_text(encoding="utf-8"))
                          + pin_of_pytest((ROOT / "requirements-dev.txt").read_text(encoding="utf-8")) + "\n",
                          encoding="utf-8")
        output, done = "", None
        for command in ([python, "-m", "venv", str(Path(folder, "env"))],
                        [inside, "-m", "pip", "install", "-q", "--no-compile", "-r", str(wanted)],
                        [inside, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]):
            done = subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT)
            output += done.stdout
            if done.returncode and "pytest" not in command:
                break
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                file.write(f"== {python}, mindspore {mindspore}\n{output}\n")
        if "pytest" not in command:
            return f"cannot be installed: {output.strip().splitlines()[-1]}", done.returncode
        return in_short(done.stdout, done.returncode), done.returncode


def main(argv: list[str] | None = None) -> int:
    """Tries all combinations; returns 1 where one fails."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["python3.11", "python3.12"], metavar="INTERPRETER")
    parser.add_argument("--mindspore", nargs="+", default=MINDSPORE, metavar="VERSION")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="PATH", help="what pytest runs")
    parser.add_argument("--log", type=Path, help="file that gets all that pip and pytest print")
    options = parser.parse_args(argv)
    rows, worst = [], 0
    for python in options.python:
        try:
            version = subprocess.run([python, "-V"], check=True, capture_output=True, text=True).stdout.split()[1]
        except (OSError, subprocess.CalledProcessError) as error:
            raise ConfigError(f"--python {python}: this interpreter does not start; give its path") from error
        for mindspore in options.mindspore:
            result, code = try_one(python, mindspore, options.tests, options.log)
            worst = max(worst, int(code != 0))
            rows.append(f"| {mindspore} | {version} | {result} |")
            print(rows[-1], file=sys.stderr, flush=True)
    print("| MindSpore | Python | tests |", "|---|---|---|", *rows, sep="\n")
    return worst


if __name__ == "__main__":
    run_main(main)
