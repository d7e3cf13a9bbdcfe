"""The rules of docs/architecture.md: imports run one way, MindSpore only where stated, nothing happens at import."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the ground up: a module imports from its own line and from the lines above it, never from one below.
LAYERS = (
    ("common", "network.description"),
    ("model_utils.config", "model_utils.lr_scheduler", "distributed", "modelarts", "render"),
    ("data", "network", "crnn", "loss"),
    ("ic03_dataset", "ic13_dataset", "ic15_dataset", "iiit5k_dataset", "svt_dataset", "svtp_dataset", "cute80_dataset"),
    ("dataset",),
    ("reading", "onednn", "convert", "photographs", "model_utils"),
    ("evaluation", "metric"),
    ("network.trained", "crnn_for_train", "eval_callback"),
    ("evaluation.checkpoint_run", "evaluation.program"),
    ("deploy",),
    ("recogniser",),
    ("training", "report", "prediction", "deploy.onnx.program", "evaluation.temperature"),
    ("demo",),
)
# `src.metric.CRNNAccuracy` is a promised name, and src.metric must load without MindSpore.
EXCEPTIONS = {("evaluation", "metric"), ("metric", "evaluation")}

MINDSPORE = {  # may import MindSpore at their top; everything else must load without it
    "crnn", "loss", "crnn_for_train", "eval_callback", "network.checkpoint", "network.checkpoint_folder",
    "network.exchange",
    "network.forward", "network.precision", "network.trained", "training", "onednn",
    "distributed.communication", "evaluation.checkpoint_run", "evaluation.crnn_accuracy", "deploy.exporter",
    "deploy.mindir",
}
# In those wings, but loaded before the context is set up, which MindSpore has to wait for.
BEFORE_MINDSPORE = {"training.program", "training.preview"}


OPTIONAL = {"demo.page"}  # imports a package that requirements.txt does not have


def layer_of(module: str) -> int:
    """The line a module stands on; the longest name that fits counts."""
    fits = [(len(name), number) for number, names in enumerate(LAYERS) for name in names
            if module == name or module.startswith(name + ".")]
    assert fits, f"src.{module} has no place in LAYERS"
    return max(fits)[1]


def modules() -> dict[str, Path]:
    """Names below `src.` of all modules, with their files."""
    return {".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): path
            for path in sorted((ROOT / "src").rglob("*.py")) if path != ROOT / "src" / "__init__.py"}


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(name, line, whether at the top) of everything a file imports when it runs."""
    tree = ast.parse(path.read_text())
    top, typing_only = set(), set()
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing_only |= {id(part) for part in ast.walk(node)}
        parts = ast.walk(node) if isinstance(node, ast.Try | ast.If) else [node]
        top |= {id(part) for part in parts}
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "src" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found += [(name, node.lineno, id(node) in top) for name in names]
    return found


def breaches(files: dict[str, Path]) -> list[str]:
    """Imports of a module of `src` from a line below its own."""
    found = []
    for module, path in files.items():
        for name, line, _ in imports(path):
            if not name.startswith("src."):
                continue
            other = name.removeprefix("src.")
            if layer_of(other) > layer_of(module) and (module.split(".")[0], other.split(".")[0]) not in EXCEPTIONS:
                found.append(f"{path}:{line}: src.{module} imports {name}, which stands above it")
    return found


def test_imports_run_one_way():
    assert breaches(modules()) == []


def test_an_import_upwards_is_found(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from src.training.trainer import Trainer\n")
    assert breaches({"data.wrong": wrong}) == [
        f"{wrong}:2: src.data.wrong imports src.training.trainer, which stands above it"]


def test_entry_scripts_are_not_imported():
    programs = {path.stem for path in ROOT.glob("*.py")}
    found = [f"{path}:{line}" for path in modules().values() for name, line, _ in imports(path)
             if name.split(".")[0] in programs]
    assert found == []


def test_mindspore_only_where_stated():
    found = [f"{path}:{line}" for module, path in modules().items() for name, line, top in imports(path)
             if top and name.split(".")[0] == "mindspore"
             and not any(module == allowed or module.startswith(allowed + ".") for allowed in MINDSPORE)]
    assert found == []


def test_inner_imports_are_few():
    """An import inside a function hides what a module needs; each of these has its reason beside it."""
    files = [*modules().values(), *ROOT.glob("*.py")]
    inner = [f"{path.relative_to(ROOT)}:{line} {name}" for path in files for name, line, top in imports(path)
             if not top]
    assert len(inner) < 40, "\n".join(inner)
    without = [f"{path.relative_to(ROOT)}:{line}" for path in files for name, line, top in imports(path) if not top
               and "#" not in "".join(path.read_text().splitlines()[line - 2:line])]
    assert without == [], "no reason beside the import, or in the line above it"


def test_nothing_happens_at_import(tmp_path):
    names = [f"src.{module}" for module in modules() if module in BEFORE_MINDSPORE
             or not any(module == allowed or module.startswith(allowed + ".") for allowed in MINDSPORE | OPTIONAL)]
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['x', '--nonsense']; import importlib\n"
            f"for name in {names}: importlib.import_module(name)\n"
            "print('mindspore' in sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "False\n")
    assert list(tmp_path.iterdir()) == []


def test_every_wing_says_what_belongs_in_it():
    for folder in sorted(path for path in (ROOT / "src").iterdir() if path.is_dir() and path.name != "__pycache__"):
        text = (folder / "__init__.py").read_text()
        assert ast.get_docstring(ast.parse(text)), f"{folder} does not say what it is for"
        assert [*(ROOT / "tests" / folder.name).glob("test_*.py")], f"tests/{folder.name} is missing"


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/zh/architecture.md"])
def test_page_names_every_wing_and_no_other(page):
    text = (ROOT / page).read_text()
    there = {path.name for path in (ROOT / "src").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(re.findall(r"^\| `src/(\w+)/` \|", text, re.MULTILINE)) == there
    files = re.findall(r"`([\w/]+\.(?:py|yaml|md))`", text)
    assert [name for name in files if not (ROOT / name).is_file()] == []
