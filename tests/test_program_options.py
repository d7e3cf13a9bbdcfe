"""Each program knows its own options: its --help has these alone, and others on its command line are named."""
import ast
import importlib
import re
from pathlib import Path

import pytest

from src.common.errors import ConfigError
from src.common.options import read_options
from src.model_utils.config import DEFAULT_CONFIG
from tests.conftest import REPO
from tests.test_commands import all_commands

OPTIONS = read_options(DEFAULT_CONFIG)
# Each program, its body, and the files that read the options it is about.
PROGRAMS = {
    "train": ("src.training.program.run", ("src/training", "src/crnn_for_train.py", "src/eval_callback.py")),
    "eval": ("src.evaluation.program.run", ("src/evaluation/run.py", "src/evaluation/checkpoint_run.py",
                                            "src/network/trained.py")),
    "export": ("src.deploy.program.run", ("src/deploy/program.py", "src/deploy/exporter.py", "src/deploy/targets.py")),
    "eval_onnx": ("src.deploy.onnx.program.run", ("src/deploy/onnx", "src/evaluation/run.py")),
    "benchmark": ("src.report.run.benchmark", ("src/report/run.py", "src/report/measure.py")),
    "fit_temperature": ("src.evaluation.temperature.run", ("src/evaluation/temperature.py",)),
    "postprocess": ("src.evaluation.result_files.score", ("src/evaluation/result_files.py",)),
    "predict": ("src.prediction.run.predict", ("src/prediction/run.py", "src/prediction/photographs.py",
                                                  "src/recogniser.py")),
}


def used_by(program: str) -> set[str]:
    uses = importlib.import_module(program).USES
    assert all(word in OPTIONS or any(option.group == word for option in OPTIONS.values()) for word in uses)
    return {name for name, option in OPTIONS.items() if name in uses or option.group in uses}


def read_in(place: Path) -> set[str]:
    """The options that the Python files of a place read from a configuration; what they set does not count."""
    found = set()
    for path in [place] if place.is_file() else place.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and \
                    ast.unparse(node.value) in ("config", "self.config", "self._config"):
                found.add(node.attr)
    return found & {*OPTIONS}


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_its_files_read_it_has(program):
    read = set().union(*(read_in(REPO / place) for place in PROGRAMS[program][1]))
    assert read and read - used_by(program) - {"checkpoint_path" if program == "eval_onnx" else ""} == set()


def test_every_option_belongs_to_a_program():
    assert set().union(*map(used_by, PROGRAMS)) == {*OPTIONS}


@pytest.mark.parametrize("program", [name for name in PROGRAMS if name != "predict"])
def test_others_are_named_and_change_nothing(program, monkeypatch, capsys, tmp_path):
    seen = []
    monkeypatch.setattr(PROGRAMS[program][0], lambda config: seen.append(config) or 0)
    main = importlib.import_module(program).main
    others = [name for name in OPTIONS if name not in used_by(program)][:2]
    words = [f"--{name}={OPTIONS[name].default}" for name in (*others, others[0])]
    assert main(words) == 0
    message = f"note: command line: {', '.join(others)} have no effect in this program; --help lists the options it has"
    assert message in capsys.readouterr().err.splitlines()
    assert main(words[:1]) == 0 and f"{others[0]} has no effect" in capsys.readouterr().err
    (tmp_path / "all.yaml").write_text("\n".join(f"{name}: '{OPTIONS[name].default}'" for name in others))
    assert main([f"--config_path={tmp_path / 'all.yaml'}"]) == 0  # files are shared by several programs
    assert "no effect" not in capsys.readouterr().err
    assert len(seen) == 3


@pytest.mark.parametrize("program", ["eval", "eval_onnx", "train", "predict"])
def test_images_that_are_not_turned_are_said(program, monkeypatch, capsys, tmp_path):
    """rotate_tall changes what is read, so that a file's value is no more silent than the command line's."""
    monkeypatch.setattr(PROGRAMS[program][0], lambda config, *_: 0)
    main = importlib.import_module(program).main
    (tmp_path / "tall.yaml").write_text("rotate_tall: True")
    for words in ([f"--config_path={tmp_path / 'tall.yaml'}"], ["--rotate_tall=True"]):
        assert main(words) == 0
        assert capsys.readouterr().err.count("rotate_tall has no effect in this program") == (program != "predict")


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_has_these_alone(program, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(program).main(["--help"])
    listed = set(re.findall(r"^  --(\w+)", capsys.readouterr().out, re.MULTILINE)) - {"config_path"}
    assert listed == used_by(program)


def test_predict_refuses_others():
    with pytest.raises(ConfigError, match="save_predictions has no effect in this program"):
        importlib.import_module("predict").main(["--save_predictions=x", "word.png"])


def test_no_page_gives_a_program_what_it_does_not_use():
    found = [f"{page}: {command}: {key}" for page, command in all_commands()
             if (program := re.search(r"\bpython (\w+)\.py", command)) and program[1] in PROGRAMS
             for key in re.findall(r" --(\w+)", command)
             if key in OPTIONS and key not in used_by(program[1])]
    assert found == []
