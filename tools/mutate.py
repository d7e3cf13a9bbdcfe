"""Breaks the source in small ways, one at a time, and asks the tests whether they notice."""
import argparse
import ast
import copy
import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import ConfigError, run_main

ROOT = Path(__file__).resolve().parent.parent
_DESCRIPTION = """Mutation test: makes small changes to the source (a comparison turned or shifted, a number raised by
one, a negation dropped, plus for minus, and for or, a statement or returned value deleted) and runs the tests that
belong to the file, up to the first that fails. A mutant that no test notices has survived: a test is missing there, or
the change means nothing; then tools/equal_mutants.yaml says why. All happens in a temporary copy; the checkout is never
written to. With --results a run that was cut short goes on, and mutants that survived are tried again once their tests
have changed."""

_RANKS = "tests/distributed/test_distributed.py"
BELONGING = {
    "src/loss.py": ["tests/training/test_loss.py"],
    "src/crnn_for_train.py": ["tests/training/test_crnn_for_train.py",
                              f"{_RANKS}::test_a_network_with_synchronised_batch_norm_is_the_same_network",
                              f"{_RANKS}::test_synchronised_batch_norm_where_it_cannot_be"],
    "src/metric.py": ["tests/evaluation/test_metric.py", "tests/evaluation/test_fit_temperature.py"],
    "src/reading/alignment.py": ["tests/reading/test_alignment.py"],
    "src/reading/alternatives.py": ["tests/reading/test_alignment.py", "tests/reading/test_beam.py"],
    "src/reading/beam.py": ["tests/reading/test_decode.py", "tests/reading/test_beam.py"],
    "src/reading/ctc.py": ["tests/reading/test_ctc.py", "tests/reading/test_decode.py"],
    "src/reading/greedy.py": ["tests/reading/test_decode.py"],
    "src/reading/language_model.py": ["tests/reading/test_language_model.py", "tests/reading/test_beam.py"],
    "src/reading/lexicon.py": ["tests/reading/test_lexicon.py"],
    "src/reading/lexicon_decoder.py": ["tests/reading/test_lexicon.py", "tests/reading/test_decode.py"],
    "src/reading/model_training.py": ["tests/reading/test_language_model.py",
                                      "tests/reading/test_train_language_model.py"],
    "src/reading/selection.py": ["tests/reading/test_decode.py", "tests/reading/test_beam.py",
                                 "tests/evaluation/test_eval_options.py", "tests/evaluation/test_eval_onnx.py"],
    "src/reading/word_list.py": ["tests/reading/test_lexicon.py", "tests/reading/test_language_model.py"],
    "src/reading/word_search.py": ["tests/reading/test_beam.py"],
    "src/data/preprocess.py": ["tests/data/test_preprocess.py", "tests/data/test_transparency.py",
                               "tests/data/test_keep_ratio.py", "tests/data/test_long_width.py"],
    "src/data/protocol.py": ["tests/data/test_protocol.py"],
    "src/network/checkpoint.py": ["tests/network/test_checkpoint.py"],
    "src/network/checkpoint_folder.py": ["tests/training/test_trainer.py", "tests/network/test_checkpoint.py"],
    "src/network/checkpoint_format.py": ["tests/network/test_checkpoint.py", "tests/fuzz/test_cases.py"],
    "src/training/trainer.py": ["tests/training/test_trainer.py"],
}
"""Source files and the tests, relative to the root, that must notice when they break."""

_OTHER = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
          ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub,
          ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And}
EQUAL = ROOT / "tools" / "equal_mutants.yaml"
"""Mutants that do what the source does, with the reason."""
_LEAST_EACH = 8
"""Mutants that are drawn from a small file."""
_MEMORY = 8 << 30
"""Bytes that the tests of a mutant may take."""
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
        original: the whole file without it.
    """

    path: str
    line: int
    old: str
    new: str
    source: str
    original: str

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:70] for text in (self.old, self.new))
        return f"{self.path}:{self.line}: {old}  ->  {new}"

    @property
    def key(self) -> str:
        """The same for the same change of the same file."""
        return _digest([self.path, self.source])

    @property
    def change(self) -> tuple[str, str, str]:
        """File, and its line before and after, as in :data:`EQUAL`; other lines of the file do not matter."""
        before, after = (text.splitlines()[self.line - 1].strip() for text in (self.original, self.source))
        return self.path, before, after


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
        found.append(Mutant(path, node.lineno, data[begin:end].decode(), new, text, source))
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


def run_tests(folder: Path, tests: Sequence[str], limit: float | None) -> tuple[int | None, float, str]:
    """Runs tests up to the first that fails.

    Args:
        folder: copy of the repository.
        tests: files, or single tests that are to come first.
        limit: seconds; None: without a limit.

    Returns:
        pytest's exit code (None: out of time), seconds, and the test that failed ('' without any).
    """
    # No bytecode: Python would take that of another mutant of the same length and second for this one's.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as base:
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", "not slow",
                   f"--basetemp={base}/t", *tests]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, text=True, start_new_session=True,
                                   preexec_fn=_limit_memory)
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # what the tests have started, too
            process.communicate()
            return None, time.monotonic() - begin, ""
    failed = [line.split(" ")[1] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return process.returncode, time.monotonic() - begin, failed[0] if failed and "::" in failed[0] else ""


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def draw(found: Mapping[str, Sequence[Mutant]], count: int, seed: int) -> dict[str, list[Mutant]]:
    """Draws mutants of each file, in proportion to how many it has, but some of the small ones, too.

    Args:
        found: all mutants by file.
        count: how many are wanted; the small files may make it some more.
        seed: of the draw.

    Returns:
        The mutants of each file in the order of its lines. They depend on the other files by their number alone.
    """
    total, least = sum(map(len, found.values())), min(_LEAST_EACH, math.ceil(count / len(found)))
    chosen = {}
    for path, mine in found.items():
        share = min(len(mine), max(least, round(count * len(mine) / total)))
        chosen[path] = sorted(random.Random(f"{seed} {path}").sample(mine, share), key=lambda one: one.line)
    return chosen


def read_equal(path: Path) -> dict[tuple[str, str, str], str]:
    """Reasons why mutants are equal, by file, line before and line after."""
    return {(entry["file"], entry["line"], entry["becomes"]): entry["why"]
            for entry in yaml.safe_load(path.read_text(encoding="utf-8"))}


class Results:
    """What became of mutants, kept in a file from run to run: one JSON object a line, the last one counts.

    Args:
        path: the file; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._known: dict[str, dict[str, str | float]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                entry = json.loads(line)
                self._known[entry["key"]] = entry

    def of(self, key: str, tests: str) -> dict[str, str | float] | None:
        """What is known under a key; nothing of what survived other tests than these (their digest)."""
        entry = self._known.get(key)
        return None if entry is None or entry["result"] == "survived" and entry["tests"] != tests else entry

    def note(self, entry: dict[str, str | float]) -> None:
        self._known[str(entry["key"])] = entry
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as file:  # one write: several runs may share the file
                file.write(json.dumps(entry) + "\n")


def mutate(root: Path, belonging: Mapping[str, Sequence[str]], chosen: Mapping[str, Sequence[Mutant]],
           results: Results, until: float = math.inf) -> dict[str, str]:
    """Tries mutants and prints what became of each.

    Args:
        root: of the repository.
        belonging: files and their tests.
        chosen: the mutants by file.
        results: what is known, and will be.
        until: time (``time.monotonic``) after which no other mutant is begun.

    Returns:
        By the keys of mutants: killed, hangs, survived; those that time ran out for are left out.

    Raises:
        ConfigError: the tests of a file fail without any change.
    """
    became: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_of(root, folder)
        for path, mine in chosen.items():
            tests = list(belonging[path])
            digest = _digest([*tests, *((folder / test.split("::")[0]).read_text(encoding="utf-8") for test in tests)])
            for mutant in mine:
                known = results.of(mutant.key, digest)
                became.update({mutant.key: str(known["result"])} if known else {})
            left = [mutant for mutant in mine if mutant.key not in became]
            if not left or time.monotonic() > until:
                continue
            seconds = _seconds_unchanged(folder, path, tests, digest, results)
            print(f"{path}: {len(left)} mutants to try; the tests take {seconds:.0f} s", flush=True)
            original = (folder / path).read_text(encoding="utf-8")
            killers: Counter[str] = Counter()  # tests that fail often come first
            for mutant in left:
                if time.monotonic() > until:
                    break
                (folder / path).write_text(mutant.source, encoding="utf-8")
                first = [test for test, _ in killers.most_common(5)]
                code, took, failed = run_tests(folder, [*first, *tests], 30 + 4 * seconds)
                killers.update([failed] if failed else [])
                result = "survived" if code == 0 else "hangs" if code is None else "killed"
                results.note({"key": mutant.key, "mutant": str(mutant), "tests": digest, "result": result,
                              "by": failed, "seconds": round(took, 1)})
                became[mutant.key] = result
                print(f"{result:8} {mutant}", flush=True)
            (folder / path).write_text(original, encoding="utf-8")
    return became


def _seconds_unchanged(folder: Path, path: str, tests: list[str], digest: str, results: Results) -> float:
    """How long the tests of a file take without any mutant; ConfigError where they fail."""
    key = _digest([path, (folder / path).read_text(encoding="utf-8"), digest])
    known = results.of(key, digest)
    if known is None:
        code, seconds, _ = run_tests(folder, tests, None)
        if code != 0:
            raise ConfigError(f"{path}: its tests ({' '.join(tests)}) end with exit code {code} without any mutant; "
                              "mend them first")
        known = {"key": key, "mutant": f"{path}: none", "tests": digest, "result": "unchanged", "seconds": seconds}
        results.note(known)
    return float(known["seconds"])


def report(chosen: Mapping[str, Sequence[Mutant]], became: Mapping[str, str],
           equal: Mapping[tuple[str, str, str], str]) -> float:
    """Prints a table by file and the survivors; returns the share of the mutants, but for equal ones, killed, in %."""
    survivors: list[Mutant] = []
    sums: Counter[str] = Counter()
    print("| file | mutants | killed | equal | survived | not tried |\n|---|---|---|---|---|---|")
    for path, mine in chosen.items():
        counts: Counter[str] = Counter(mutants=len(mine))
        for mutant in mine:
            result = became.get(mutant.key)
            if result in ("killed", "hangs"):
                counts["killed"] += 1
            elif mutant.change in equal:
                counts["equal"] += 1
            else:
                counts["survived" if result else "left"] += 1
                survivors += [mutant] if result else []
        print(_row(path, counts))
        sums.update(counts)
    print(_row("all", sums))
    for mutant in survivors:
        print(f"SURVIVED {mutant}")
    tried = sums["killed"] + sums["survived"]
    share = 100 * sums["killed"] / max(tried, 1)
    print(f"{sums['killed']} of {tried} mutants killed: {share:.1f} %, beside {sums['equal']} that change nothing")
    return share


def _row(name: str, counts: Mapping[str, int]) -> str:
    cells = [str(counts[column]) for column in ("mutants", "killed", "equal", "survived", "left")]
    return f"| {' | '.join([name, *cells])} |"


def main(argv: list[str] | None = None) -> int:
    """Tries mutants as the command line says; returns 1 where fewer were killed than asked for, 3 out of time."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("--count", type=int, default=200, help="mutants to draw from all files (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--only", nargs="+", metavar="FILE", help=f"those of these: {', '.join(BELONGING)}")
    parser.add_argument("--results", type=Path, metavar="FILE", help="keep results here, and go on with them")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no mutant after so long; exit code 3 "
                        "where some are left")
    parser.add_argument("--least", type=float, default=0.0, help="share that must be killed, in %%")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.only or ()) - set(BELONGING))
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: no tests are known for it; add it to BELONGING in tools/mutate.py")
    until = time.monotonic() + 60 * args.minutes
    chosen = draw({path: mutants(path, (ROOT / path).read_text(encoding="utf-8")) for path in BELONGING},
                  args.count, args.seed)
    if args.only:
        chosen = {path: mine for path, mine in chosen.items() if path in args.only}
    equal = read_equal(EQUAL)
    to_try = {path: [one for one in mine if one.change not in equal] for path, mine in chosen.items()}
    became = mutate(ROOT, BELONGING, to_try, Results(args.results), until)
    share = report(chosen, became, equal)
    if any(mutant.key not in became for mine in to_try.values() for mutant in mine):
        return 3
    return int(share < args.least)


if __name__ == "__main__":
    run_main(main)
