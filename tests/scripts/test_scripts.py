"""The shell scripts, run for real against a stand-in for Python that records what it got."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAND_IN = """#!{python}
import json, os, pathlib, signal, sys, time

log = pathlib.Path(os.environ["STAND_IN_LOG"])
with log.open("a") as file:
    file.write(json.dumps([os.getcwd(), *sys.argv[1:]]) + "\\n")
print("printed", flush=True)
print("complained", file=sys.stderr, flush=True)
program = pathlib.Path(sys.argv[1]).name
if program == "train.py" and "STAND_IN_NO_CHECKPOINT" not in os.environ:
    pathlib.Path("output/quickstart/ckpt").mkdir(parents=True, exist_ok=True)
    pathlib.Path("output/quickstart/ckpt/best_acc.ckpt").write_text("weights")
    pathlib.Path("data/embedded").mkdir(parents=True, exist_ok=True)
    pathlib.Path("data/embedded/annotation_test.txt").write_text(
        "".join(f"./1/2/{{i}}_word_{{i}}.jpg {{i}}\\n" for i in range(30)))
for word in sys.argv[1:]:
    if word.startswith("--picture="):
        pathlib.Path(word.partition("=")[2]).write_text("picture")


def end_cleanly(number, frame):
    print("checkpoint written", flush=True)
    sys.exit(100 + number)


if "STAND_IN_WAIT" in os.environ:
    signal.signal(signal.SIGTERM, end_cleanly)
    signal.signal(signal.SIGHUP, end_cleanly)
    try:
        print("waiting", flush=True)
        time.sleep(90)
    except KeyboardInterrupt:
        end_cleanly(signal.SIGINT, None)
sys.exit(int(os.environ.get("STAND_IN_EXIT_" + program.partition(".")[0], "0")))
"""

pytestmark = [pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash"),
              pytest.mark.usefixtures("signals_as_usual")]


class Sandbox:
    """A copy of the scripts in a repository of their own, with the stand-in as CRNN_PYTHON."""

    def __init__(self, repo: Path, folder: Path):
        self.root = folder / "the repo"
        self.caller = folder / "caller's folder"
        self.log = folder / "calls"
        self.root.mkdir()
        self.caller.mkdir()
        shutil.copytree(repo / "scripts", self.root / "scripts")
        for name in ("default_config.yaml", "configs/quickstart.yaml", "src/data/embedded.py", "requirements.txt",
                     "pretrained/crnn_v2.ckpt"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text("")
        self.python = folder / "stand-in"
        self.python.write_text(STAND_IN.format(python=sys.executable))
        self.python.chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "CRNN_PYTHON": str(self.python),
            "STAND_IN_LOG": str(self.log),
            "HOME": str(folder),
        }

    def start(self, script, *words, **environment):
        """Starts a script in the caller's folder."""
        return subprocess.Popen(
            ["bash", str(self.root / "scripts" / script), *map(str, words)],
            cwd=self.caller, env={**self.environment, **environment}, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, script, *words, **environment):
        """Runs a script to its end; returns exit code, standard output, standard error."""
        process = self.start(script, *words, **environment)
        out, err = process.communicate(timeout=180)
        return process.returncode, out, err

    def calls(self) -> list[list[str]]:
        """The calls of the stand-in: folder it ran in, then its arguments."""
        import json

        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def sandbox(repo, tmp_path):
    return Sandbox(repo, tmp_path)


def fill(sandbox):
    """A data folder and a checkpoint in the caller's folder."""
    (sandbox.caller / "my data").mkdir()
    (sandbox.caller / "my.ckpt").write_text("weights")
    (sandbox.caller / "characters").write_text("a\n")


TRAIN = "run_standalone_train_cpu.sh"
EVAL = "run_eval_cpu.sh"


@pytest.mark.parametrize(
    ("script", "words", "folder", "expected"),
    [
        (
            TRAIN, ["synth", "my data"], "train_cpu",
            ["{root}/train.py", "--device_target=CPU", "--train_dataset=synth",
             "--train_dataset_path={caller}/my data"],
        ),
        (
            TRAIN, ["iiit5k", "{caller}/my data", "my.ckpt"], "train_cpu",
            ["{root}/train.py", "--device_target=CPU", "--train_dataset=iiit5k",
             "--train_dataset_path={caller}/my data", "--resume_ckpt={caller}/my.ckpt"],
        ),
        (
            TRAIN,
            ["synth", "--epoch_size=3", "my data", "--config_path=a.yaml,/b.yaml", "--label_dict=characters",
             "--output_dir=out put", "--file_name=x=y z", "--resume_ckpt="],
            "train_cpu",
            ["{root}/train.py", "--device_target=CPU", "--train_dataset=synth", "--train_dataset_path={caller}/my data",
             "--epoch_size=3", "--config_path={caller}/a.yaml,/b.yaml", "--label_dict={caller}/characters",
             "--output_dir={caller}/out put", "--file_name=x=y z", "--resume_ckpt="],
        ),
        (
            EVAL, ["svt", "my data", "my.ckpt"], "eval",
            ["{root}/eval.py", "--device_target=CPU", "--eval_dataset=svt", "--eval_dataset_path={caller}/my data",
             "--checkpoint_path={caller}/my.ckpt"],
        ),
        (
            EVAL, ["svt", "my data", "{caller}/my.ckpt", "--print_predictions=True", "--label_dict=abc"], "eval",
            ["{root}/eval.py", "--device_target=CPU", "--eval_dataset=svt", "--eval_dataset_path={caller}/my data",
             "--checkpoint_path={caller}/my.ckpt", "--print_predictions=True", "--label_dict=abc"],
        ),
    ],
)  # fmt: skip
def test_what_the_program_gets(sandbox, script, words, folder, expected):
    fill(sandbox)
    places = {"root": sandbox.root, "caller": sandbox.caller}
    code, out, err = sandbox.run(script, *[word.format(**places) for word in words])
    assert code == 0, err
    assert sandbox.calls() == [[str(sandbox.root / folder), *[word.format(**places) for word in expected]]]
    assert out == "printed\ncomplained\n" == (sandbox.root / folder / "log.txt").read_text()


@pytest.mark.parametrize(("script", "program"), [(TRAIN, "train"), (EVAL, "eval")])
def test_the_exit_code_is_the_programs(sandbox, script, program):
    fill(sandbox)
    words = ["synth", "my data", "my.ckpt"]
    assert sandbox.run(script, *words, **{f"STAND_IN_EXIT_{program}": "37"})[0] == 37
    assert sandbox.run(script, *words)[0] == 0


def test_nothing_of_an_earlier_run_is_lost(sandbox):
    fill(sandbox)
    (sandbox.root / "train_cpu").mkdir()
    (sandbox.root / "train_cpu" / "mine").write_text("keep")
    (sandbox.root / "train_cpu" / "log.txt").write_text("before")
    assert sandbox.run(TRAIN, "synth", "my data")[0] == 0
    assert (sandbox.root / "train_cpu" / "mine").read_text() == "keep"
    assert (sandbox.root / "train_cpu" / "log.previous.txt").read_text() == "before"


@pytest.mark.parametrize(
    ("number", "to_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, False)],
)
def test_signals_reach_the_program_and_its_last_words_the_log(sandbox, number, to_group):
    fill(sandbox)
    process = sandbox.start(TRAIN, "synth", "my data", STAND_IN_WAIT="1")
    log = sandbox.root / "train_cpu" / "log.txt"
    until = time.monotonic() + 20
    while not (log.exists() and "waiting" in log.read_text()) and time.monotonic() < until:
        time.sleep(0.02)
    (os.killpg if to_group else os.kill)(process.pid, number)
    process.communicate(timeout=20)
    assert process.returncode == 100 + number
    assert log.read_text().endswith("checkpoint written\n")


@pytest.mark.parametrize(
    ("script", "words", "expected"),
    [
        (TRAIN, [], "Usage:"),
        (TRAIN, ["synth"], "Usage:"),
        (TRAIN, ["synth", "my data", "my.ckpt", "more"], "Usage:"),
        (TRAIN, ["synth", "none"], "error: DATASET_PATH none does not exist"),
        (TRAIN, ["synth", "my data", "none.ckpt"], "error: RESUME_CKPT none.ckpt is not a file"),
        (TRAIN, ["synth", "my data", "--epoch_size"], "error: cannot read the option --epoch_size"),
        (EVAL, ["svt", "my data"], "Usage:"),
        (EVAL, ["svt", "none", "my.ckpt"], "error: DATASET_PATH none does not exist"),
        (EVAL, ["svt", "my data", "my data"], "error: CHECKPOINT_PATH my data is not a file"),
        (EVAL, ["svt", "my data", "my.ckpt", "-x"], "error: cannot read the option -x"),
        ("quickstart.sh", ["--fast"], "Usage:"),
        ("quickstart.sh", ["--again", "more"], "Usage:"),
    ],
)
def test_wrong_arguments(sandbox, script, words, expected):
    fill(sandbox)
    code, out, err = sandbox.run(script, *words)
    assert code == 2 and out == ""
    assert err.startswith(expected)
    assert sandbox.calls() == []
    assert not (sandbox.root / "train_cpu").exists() and not (sandbox.root / "eval").exists()


@pytest.mark.parametrize("script", [TRAIN, EVAL, "quickstart.sh", "run_tests.sh"])
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(sandbox, script, word):
    code, out, err = sandbox.run(script, word)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: bash scripts/{script}")
    assert sandbox.calls() == []


def test_which_interpreter_is_taken(sandbox):
    fill(sandbox)
    del sandbox.environment["CRNN_PYTHON"]
    bin_folder = sandbox.root.parent / "bin"
    bin_folder.mkdir()
    shutil.copy(sandbox.python, bin_folder / "python3")
    path = f"{bin_folder}:{os.environ['PATH']}"
    code, _, err = sandbox.run(TRAIN, "synth", "my data", PATH=path)
    assert code == 0 and f"{sandbox.root}/.venv does not exist, so {bin_folder}/python3 is used" in err
    assert [call[1] for call in sandbox.calls()] == ["-c", f"{sandbox.root}/train.py"]
    (sandbox.root / ".venv" / "bin").mkdir(parents=True)
    (sandbox.root / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 41\n")
    (sandbox.root / ".venv" / "bin" / "python").chmod(0o755)
    assert sandbox.run(TRAIN, "synth", "my data", PATH=path)[0] == 41
    assert not (sandbox.root / ".venv" / "pyvenv.cfg").exists()


def test_a_python_without_the_packages_is_named(sandbox):
    path = fake_commands(sandbox, python3="echo cv2 yaml")
    done = with_environment(sandbox, "project_python", PATH=path)
    assert (done.returncode, done.stdout) == (0, "python3\n")
    assert done.stderr == (f"note: {sandbox.root}/.venv does not exist, so {path.split(':')[0]}/python3 is used, which "
                           "lacks cv2, yaml; make it with bash scripts/quickstart.sh, or name an interpreter that has "
                           "requirements.txt: CRNN_PYTHON=FILE\n")
    link = f'exec {sys.executable} "$@"'  # has them
    assert with_environment(sandbox, "project_python", PATH=fake_commands(sandbox, python3=link)).stderr == ""
    link = f'exec {sys.executable} -S "$@"'  # has no packages
    done = with_environment(sandbox, "project_python", PATH=fake_commands(sandbox, python3=link))
    assert "lacks cv2, numpy, yaml; make it with" in done.stderr


def test_run_tests(sandbox):
    assert sandbox.run("run_tests.sh")[0] == 0
    assert sandbox.run("run_tests.sh", "-m", "slow", "-k", "a b", STAND_IN_EXIT_="0")[0] == 0
    root = str(sandbox.root)
    assert sandbox.calls() == [
        [root, "-m", "pytest", "-m", "not slow"],
        [root, "-m", "pytest", "-m", "not slow", "-m", "slow", "-k", "a b"],
    ]


def programs(calls: list[list[str]]) -> list[str]:
    return [Path(call[1]).name for call in calls]


QUICKSTART = ["generate_synth.py", "predict.py", "train.py", "eval.py", "predict.py"]


def test_quickstart(sandbox):
    code, out, err = sandbox.run("quickstart.sh")
    assert code == 0, err
    calls = sandbox.calls()
    assert programs(calls) == QUICKSTART
    assert all(call[0] == str(sandbox.root) for call in calls)
    assert calls[0][1:4] == ["generate_synth.py", "--output_dir=output/quickstart/samples", "--train=0"]
    assert calls[1][1:] == ["predict.py", "--checkpoint_path=pretrained/crnn_v2.ckpt",
                            "--picture=output/quickstart/pretrained.png", "output/quickstart/samples"]
    assert calls[2][1:] == ["train.py"] and calls[3][1:] == ["eval.py"]
    assert calls[4][1:4] == [
        "predict.py", "--checkpoint_path=output/quickstart/ckpt/best_acc.ckpt",
        "--picture=output/quickstart/readings.png",
    ]  # fmt: skip
    assert calls[4][4:6] == ["data/embedded/./1/2/0_word_0.jpg", "data/embedded/./1/2/1_word_1.jpg"]
    assert len(calls[4]) == 4 + 12
    first, picture = (sandbox.root / "output" / "quickstart" / name for name in ("pretrained.png", "readings.png"))
    assert f"Picture of the readings: {first}\n" in err and first.exists()
    assert err.splitlines()[-1] == f"Picture of the readings: {picture}" and picture.exists()
    # Once more: everything is done, and what it said is said again.
    code, again, err = sandbox.run("quickstart.sh")
    assert code == 0 and len(sandbox.calls()) == 5
    assert again == 3 * "printed\n" and out == "printed\n" + again
    assert "done before" in err
    # A picture went missing; other weights, another recipe; then on demand.
    picture.unlink()
    sandbox.run("quickstart.sh")
    assert programs(sandbox.calls()[5:]) == ["predict.py"] and picture.exists()
    first.unlink()
    sandbox.run("quickstart.sh")
    assert programs(sandbox.calls()[6:]) == QUICKSTART[:2] and first.exists()
    (sandbox.root / "pretrained" / "crnn_v2.ckpt").write_text("others")
    sandbox.run("quickstart.sh")
    assert programs(sandbox.calls()[8:]) == QUICKSTART[:2]
    (sandbox.root / "configs" / "quickstart.yaml").write_text("seed: 2")
    sandbox.run("quickstart.sh")
    assert programs(sandbox.calls()[10:]) == QUICKSTART[2:]
    sandbox.run("quickstart.sh", "--again")
    assert programs(sandbox.calls()[13:]) == QUICKSTART


@pytest.mark.parametrize(("program", "ran", "kept"), [("generate_synth", 1, 0), ("train", 3, 2), ("eval", 4, 3)])
def test_quickstart_stops_at_a_failing_step_and_takes_it_up_again(sandbox, program, ran, kept):
    assert sandbox.run("quickstart.sh", **{f"STAND_IN_EXIT_{program}": "9"})[0] == 9
    assert len(sandbox.calls()) == ran
    code, _, _ = sandbox.run("quickstart.sh")
    assert code == 0
    assert programs(sandbox.calls()[ran:]) == QUICKSTART[kept:]


def test_quickstart_without_the_weights_trains_all_the_same(sandbox):
    (sandbox.root / "pretrained" / "crnn_v2.ckpt").unlink()
    code, _, err = sandbox.run("quickstart.sh")
    assert code == 0 and "note: pretrained/crnn_v2.ckpt is not there" in err
    assert programs(sandbox.calls()) == QUICKSTART[2:]


def test_quickstart_stops_when_nothing_can_be_read(sandbox):
    assert sandbox.run("quickstart.sh", STAND_IN_EXIT_predict="9")[0] == 9
    assert programs(sandbox.calls()) == QUICKSTART[:2]


def test_quickstart_notices_a_training_without_checkpoint(sandbox):
    code, _, err = sandbox.run("quickstart.sh", STAND_IN_NO_CHECKPOINT="1")
    assert code == 2 and "without writing output/quickstart/ckpt/best_acc.ckpt" in err


def with_environment(sandbox, commands: str, **environment):
    """Runs shell commands after sourcing env.sh, without CRNN_PYTHON."""
    sandbox.environment.pop("CRNN_PYTHON", None)
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail; . scripts/env.sh; {commands}"], cwd=sandbox.root,
        env={**sandbox.environment, **environment}, text=True, capture_output=True, timeout=120,
    )  # fmt: skip


def fake_commands(sandbox, **scripts) -> str:
    """A PATH whose first folder holds the given shell scripts."""
    folder = sandbox.root.parent / "commands"
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / name.replace("_", "-").replace("dot", ".")).write_text(f"#!/bin/sh\n{text}\n")
    for file in folder.iterdir():
        file.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


# Answers like a Debian Python 3.11 without its venv package, until the file "installed" appears.
BARE_PYTHON = """case "$2" in
  *ensurepip*) test -e "$HOME/installed" ;;
  *sys.exit*) exit 0 ;;
  *%d*) echo python3.11-venv ;;
esac"""


def test_a_missing_venv_module_is_named(sandbox):
    path = fake_commands(sandbox, python3dot11=BARE_PYTHON, id="echo 1000")
    done = with_environment(sandbox, "ensure_venv", PATH=path)
    assert done.returncode == 2
    assert done.stderr.endswith("cannot make an environment; run: sudo apt-get install python3.11-venv\n")


def test_root_installs_the_missing_venv_module(sandbox):
    path = fake_commands(
        sandbox, python3dot11=BARE_PYTHON, id="echo 0", apt_get='echo "apt-get $*"; touch "$HOME/installed"'
    )
    done = with_environment(sandbox, 'require_venv_module "$(find_python)"', PATH=path)
    assert done.returncode == 0, done.stderr
    assert "apt-get install -q -y python3.11-venv" in done.stderr
    (sandbox.root.parent / "installed").unlink()
    path = fake_commands(sandbox, apt_get="exit 100")
    done = with_environment(sandbox, 'require_venv_module "$(find_python)"', PATH=path)
    assert done.returncode == 2 and "run: sudo apt-get install python3.11-venv" in done.stderr


def test_no_python_that_fits(sandbox):
    wrong = {name: "exit 1" for name in ("python3dot11", "python3dot12", "python3", "python")}
    done = with_environment(sandbox, "ensure_venv", PATH=fake_commands(sandbox, **wrong))
    assert done.returncode == 2
    assert done.stderr.startswith("error: no Python 3.11 or 3.12 found")
    assert not (sandbox.root / ".venv").exists()


def test_an_environment_that_is_in_the_way(sandbox):
    (sandbox.root / ".venv").write_text("")
    assert "is not a folder" in with_environment(sandbox, "ensure_venv").stderr
    (sandbox.root / ".venv").unlink()
    python = sandbox.root / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\ncase "$*" in *sys.exit*) exit 1;; -V) echo Python 3.13.0;; esac\n')
    python.chmod(0o755)
    done = with_environment(sandbox, "ensure_venv")
    assert done.returncode == 2 and "holds Python 3.13.0, but 3.11 or 3.12 is needed" in done.stderr
    assert python.exists()


@pytest.mark.slow
def test_the_environment_is_made_completed_and_left_alone(sandbox):
    """For real, with requirements files that ask for nothing."""
    (sandbox.root / "requirements-dev.txt").write_text("-r requirements.txt\n")
    broken = sandbox.root / ".venv" / "bin"  # as left by an interrupted run
    broken.mkdir(parents=True)
    (broken / "python").symlink_to("/nonexistent/python")
    path = f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin"
    done = with_environment(sandbox, "install_requirements requirements-dev.txt", PATH=path)
    assert done.returncode == 0, done.stderr
    assert "is incomplete: making it anew" in done.stderr and "Installing requirements-dev.txt" in done.stderr
    python = sandbox.root / ".venv" / "bin" / "python"
    subprocess.run([python, "-c", "import pip"], check=True)
    # Installing is not repeated, also not for the file that the other one includes ...
    for name in ("requirements-dev.txt", "requirements.txt"):
        done = with_environment(sandbox, f"install_requirements {name}", PATH=path)
        assert (done.returncode, done.stderr) == (0, "")
    # ... until one of them changes; a failure is told and not taken for done.
    (sandbox.root / "requirements.txt").write_text("./missing-package\n")
    for _ in range(2):
        done = with_environment(sandbox, "install_requirements requirements.txt", PATH=path)
        assert done.returncode == 2
        assert done.stderr.endswith("pip could not install requirements.txt, see above; run this again to go on\n")


def shell_files(repo) -> list[Path]:
    return [*sorted((repo / "scripts").glob("*.sh")), repo / ".ci" / "run"]


def test_scripts_are_strict_and_remove_nothing(repo):
    for path in shell_files(repo):
        text = path.read_text()
        assert "rm -r" not in text, path
        if path.name != "env.sh":
            assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text, path
            assert os.access(path, os.X_OK), path


def test_every_requirement_is_pinned(repo):
    text = (repo / "requirements.txt").read_text() + (repo / "requirements-dev.txt").read_text()
    for line in text.splitlines():
        assert line.startswith(("#", "-r ")) or "==" in line or not line.strip(), line


def test_ci_runs_lint_and_tests(repo, sandbox):
    shutil.copytree(repo / ".ci", sandbox.root / ".ci")
    (sandbox.root / "src" / "bad.sh").write_text("#!/bin/bash\necho $1\n")
    (sandbox.root / ".venv").mkdir()
    (sandbox.root / ".venv" / "ignored.sh").write_text("echo $1")
    tools = sandbox.root.parent / "tools"
    tools.mkdir()
    python = (
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo "{tools}"; exit; fi\n'
        'echo "$0 $*" >>"$STAND_IN_LOG"; echo "3 passed"; exit ${PYTEST:-0}\n'
    )
    for name, text in (
        ("python", python),
        ("ruff", '#!/bin/sh\necho "ruff $*" >>"$STAND_IN_LOG"; exit ${RUFF:-0}\n'),
        ("shellcheck", '#!/bin/sh\necho "shellcheck $*" >>"$STAND_IN_LOG"; exit ${SHELLCHECK:-0}\n'),
        ("mypy", '#!/bin/sh\necho "mypy" >>"$STAND_IN_LOG"; exit ${MYPY:-0}\n'),
    ):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    sandbox.environment["CRNN_PYTHON"] = str(tools / "python")
    for extra in ({}, {"RUFF": "1"}, {"SHELLCHECK": "1"}, {"MYPY": "1"}, {"PYTEST": "1"}):
        sandbox.log.unlink(missing_ok=True)
        done = subprocess.run([sandbox.root / ".ci" / "run"], cwd=sandbox.caller, capture_output=True, text=True,
                              env={**sandbox.environment, **extra})  # fmt: skip
        ruff, shellcheck, mypy, pytest_call = sandbox.log.read_text().splitlines()
        assert (done.returncode != 0) == bool(extra), extra
        assert done.stdout.splitlines()[-1] == "3 passed"
        assert (ruff, mypy) == ("ruff check .", "mypy")
        assert "./src/bad.sh" in shellcheck and "./.ci/run" in shellcheck and "./scripts/env.sh" in shellcheck
        assert "ignored" not in shellcheck
        assert pytest_call.endswith("-m pytest -m not slow")
