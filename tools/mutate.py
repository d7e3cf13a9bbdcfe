"""Breaks the source in small ways, one at a time, and asks the tests whether they notice."""
import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import ConfigError, run_main

ROOT = Path(__file__).resolve().parent.parent
_DESCRIPTION = """Mutation test: makes small changes to the source (a comparison turned or shifted, a number raised by
one, a negation dropped, plus for minus, and for or, a statement or returned value deleted) and runs the tests that
belong to the file. A mutant that no test notices has survived: a test is missing there, or the change means nothing.
All happens in a temporary copy; the checkout is never written to. Nothing else need be installed."""

BELONGING = {
    "src/loss.py": ["tests/training/test_loss.py"],
    "src/crnn_for_train.py": ["tests/training/test_crnn_for_train.py"],
    "src/metric.py": ["tests/evaluation/test_metric.py", "tests/evaluation/test_fit_temperature.py"],
    "src/reading/beam.py": ["tests/reading/test_decode.py", "tests/reading/test_beam.py"],
    "src/reading/ctc.py": ["tests/reading/test_ctc.py", "tests/reading/test_decode.py"],
    "src/reading/greedy.py": ["tests/reading/test_decode.py"],
    "src/reading/lexicon.py": ["tests/reading/test_lexicon.py"],
    "src/reading/lexicon_decoder.py": ["tests/reading/test_lexicon.py", "tests/reading/test_decode.py"],
    "src/data/preprocess.py": ["tests/data/test_preprocess.py", "tests/data/test_transparency.py",
                               "tests/data/test_keep_ratio.py"],
    "src/data/protocol.py": ["tests/data/test_protocol.py"],
    "src/network/checkpoint.py": ["tests/network/test_checkpoint.py"],
    "src/training/trainer.py": ["tests/training/test_trainer.py"],
}
"""Source files and the tests, relative to the root, that must notice when they break."""

_OTHER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
          ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub,
          ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And}
_SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Raise, ast.Continue, ast.Break, ast.Delete)


@dataclass(frozen=True)
class Mutant:
    """One small change.

    Attributes:
        path: of the file, relative to the root.
        line: where, from 1.
        old: the source text that goes.
        new: what comes in its place.
        source: the whole file with the change.
    """

    path: str
    line: int
    old: str
    new: str
    source: str

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:70] for text in (self.old, self.new))
        return f"{self.path}:{self.line}: {old}  ->  {new}"


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of a file, in the order of the source; the same text gives the same list."""
    lines = [line.encode() for line in source.splitlines(keepends=True)]  # ast counts columns in bytes
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    data, found = source.encode(), []
    for node, new in _changes(ast.parse(source)):
        begin = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        text = (data[:begin] + new.encode() + data[end:]).decode()
        found.append(Mutant(path, node.lineno, data[begin:end].decode(), new, text))
    return sorted(found, key=lambda mutant: mutant.line)


def _changes(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Nodes and the text to put in their place. Not inside annotations, f-strings, imports, or what says an error."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
            continue
        if isinstance(node, ast.arguments):  # defaults, but no annotations
            for default in [*node.defaults, *(value for value in node.kw_defaults if value is not None)]:
                yield from _of(default)
                yield from _changes(default)
            continue
        yield from _of(node)
        if isinstance(node, ast.AnnAssign):
            if node.value is not None:
                yield from _of(node.value)
                yield from _changes(node.value)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _changes(ast.Module([*node.body, node.args], []))
        elif not isinstance(node, ast.Raise):
            yield from _changes(node)


def _of(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The changes of one node itself."""
    if isinstance(node, (ast.Compare, ast.BinOp, ast.BoolOp)):
        operators = node.ops if isinstance(node, ast.Compare) else [node.op]
        for number, operator in enumerate(operators):
            if type(operator) in _OTHER:
                changed = copy.deepcopy(node)
                if isinstance(changed, ast.Compare):
                    changed.ops[number] = _OTHER[type(operator)]()
                else:
                    changed.op = _OTHER[type(operator)]()
                yield node, f"({ast.unparse(changed)})"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant) and isinstance(node.value, (bool, int)):
        yield node, str(not node.value if isinstance(node.value, bool) else node.value + 1)
    elif isinstance(node, ast.Return) and not (node.value is None or _is_none(node.value)):
        yield node, "return None"
    elif isinstance(node, _SIMPLE) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        yield node, "pass"


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def copy_of(root: Path, folder: Path) -> None:
    """Copies what git tracks, and new files that it does not ignore, into a folder."""
    names = subprocess.run(["git", "-C", str(root), "ls-files", "-coz", "--exclude-standard"], check=True,
                           capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


def run_tests(folder: Path, tests: Sequence[str], limit: float | None) -> tuple[int | None, float]:
    """Runs the tests up to the first that fails; returns pytest's exit code (None: out of time) and seconds."""
    # No bytecode: Python would take that of another mutant of the same length and second for this one's.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as base:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow",
                   f"--basetemp={base}/t", *tests]
        try:
            done = subprocess.run(command, cwd=folder, env=environment, timeout=limit, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return None, time.monotonic() - begin
    return done.returncode, time.monotonic() - begin


def mutate(root: Path, belonging: dict[str, list[str]], count: int, seed: int) -> dict[str, list[bool]]:
    """Tries mutants drawn from all of some files, prints each and what became of it.

    Args:
        root: of the repository.
        belonging: files and their tests.
        count: mutants to try; fewer where there are no more.
        seed: of the draw.

    Returns:
        For each file, whether its mutants were killed.

    Raises:
        ConfigError: the tests of a file fail without any change.
    """
    found = [mutant for path in belonging for mutant in mutants(path, (root / path).read_text(encoding="utf-8"))]
    chosen = random.Random(seed).sample(found, min(count, len(found)))
    killed: dict[str, list[bool]] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_of(root, folder)
        for path in belonging:
            mine = [mutant for mutant in chosen if mutant.path == path]
            if not mine:
                continue
            code, seconds = run_tests(folder, belonging[path], None)
            if code != 0:
                raise ConfigError(f"{path}: its tests ({' '.join(belonging[path])}) end with exit code {code} without "
                                  "any mutant; mend them first")
            print(f"{path}: {len(mine)} of {sum(mutant.path == path for mutant in found)} mutants; the tests take "
                  f"{seconds:.0f} s", flush=True)
            original = (folder / path).read_text(encoding="utf-8")
            for mutant in sorted(mine, key=lambda one: one.line):
                (folder / path).write_text(mutant.source, encoding="utf-8")
                code, _ = run_tests(folder, belonging[path], 60 + 5 * seconds)
                killed.setdefault(path, []).append(code != 0)
                what = "SURVIVED" if code == 0 else "hangs   " if code is None else "killed  "
                print(f"{what} {mutant}", flush=True)
            (folder / path).write_text(original, encoding="utf-8")
    return killed


def main(argv: list[str] | None = None) -> int:
    """Tries mutants as the command line says; returns 1 where fewer were killed than asked for."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("--count", type=int, default=200, help="mutants to try, drawn from all files (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--only", nargs="+", metavar="FILE", help=f"of these: {', '.join(BELONGING)}")
    parser.add_argument("--least", type=float, default=0.0, help="share that must be killed, in %%")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.only or ()) - set(BELONGING))
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: no tests are known for it; add it to BELONGING in tools/mutate.py")
    killed = mutate(ROOT, {path: tests for path, tests in BELONGING.items() if not args.only or path in args.only},
                    args.count, args.seed)
    for path, results in killed.items():
        print(f"{sum(results):4} of {len(results):4} killed  {path}")
    results = [result for part in killed.values() for result in part]
    share = 100 * sum(results) / max(len(results), 1)
    print(f"{sum(results)} of {len(results)} mutants killed: {share:.1f} %")
    return int(share < args.least)


if __name__ == "__main__":
    run_main(main)
