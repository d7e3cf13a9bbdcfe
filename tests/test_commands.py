"""Every command of the pages has a test that runs it, or a reason why none can (tests/commands.yaml)."""
import re

import pytest
import yaml

from src.common.options import read_options
from src.model_utils.config import DEFAULT_CONFIG
from tests.conftest import REPO

BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
PAGES = sorted([REPO / "README.md", REPO / "CONTRIBUTING.md", REPO / "pretrained" / "README.md",
                *REPO.glob("docs/*.md")])
CONFIGURED = ("train.py", "eval.py", "eval_onnx.py", "export.py", "predict.py", "benchmark.py", "fit_temperature.py")


def commands(text):
    """The commands of the shell blocks of a page, comments and line breaks taken out."""
    for body in BLOCK.findall(text):
        for line in body.replace("\\\n", " ").splitlines():
            command = " ".join(re.sub(r"(^|\s+)#.*$", "", line).split())
            if command:
                yield command


def all_commands():
    return [(path.name, command) for path in PAGES for command in commands(path.read_text("utf-8"))]


@pytest.fixture(scope="module")
def table():
    return yaml.safe_load((REPO / "tests" / "commands.yaml").read_text("utf-8"))


def entry_of(command, table):
    return next((entry for entry in table if re.match(entry["command"], command)), None)


def test_every_command_is_in_the_table(table):
    assert [found for found in all_commands() if entry_of(found[1], table) is None] == []


def test_every_entry_belongs_to_a_command(table):
    used = [entry_of(command, table) for _, command in all_commands()]
    assert [entry["command"] for entry in table if entry not in used] == []


def test_every_test_is_there_and_every_reason_is_given(table):
    for entry in table:
        assert ("test" in entry) != ("reason" in entry), entry
        if "test" in entry:
            file, _, name = entry["test"].partition("::")
            assert re.search(rf"^def {name}\(", (REPO / file).read_text("utf-8"), re.MULTILINE), entry["test"]


def test_programs_and_options_of_commands_exist():
    options = {*read_options(DEFAULT_CONFIG), "config_path"}
    for page, command in all_commands():
        for program in re.findall(r"(?:python|bash) ([\w/.]+\.(?:py|sh))", command):
            if not program.startswith("Ascend-"):
                assert (REPO / program).is_file(), (page, command)
            if program in CONFIGURED:
                keys = re.findall(r"--(\w+)", command)
                assert [key for key in keys if key not in options] == [], (page, command)


def test_a_command_that_nobody_runs_is_found(table):
    (command,) = commands("```bash\npython nonsense.py \\\n  --x   # what\n```\n")
    assert command == "python nonsense.py --x" and entry_of(command, table) is None
