"""Every documented form of the launch scripts, run against stand-ins that record words, folder and environment."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.distributed.rank_watch import FAILURE_SECONDS, HANG_SECONDS
from tests.distributed.test_launch import MPIRUN, MSRUN
from tests.scripts.test_scripts import Sandbox
from tests.words import write_synth_set

PROGRAM = """
import json, os, sys
names = ("DEVICE_ID", "RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE", "MS_ROLE", "OMPI_COMM_WORLD_RANK")
with open(os.environ["STAND_IN_LOG"], "a") as file:
    file.write(json.dumps([os.getcwd(), sys.argv, {k: os.environ[k] for k in names if k in os.environ}]) + "\\n")
print("printed", flush=True)
print("complained", file=sys.stderr, flush=True)
rank = os.environ.get("RANK_ID")
sys.exit(int(os.environ.get("EXIT", 0)) if rank == os.environ.get("FAILING", rank) else 0)
"""

TRAIN, EVAL, MANY, DOCKER = (
    "run_standalone_train.sh", "run_eval.sh", "run_distribute_train.sh", "docker_start.sh"
)  # fmt: skip
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
pytestmark = [needs_bash, pytest.mark.usefixtures("signals_as_usual")]


@pytest.fixture
def sandbox(repo, tmp_path):
    """A copy of the scripts and the launcher; train.py and eval.py, msrun, mpirun and docker are stand-ins."""
    sandbox = Sandbox(repo, tmp_path)
    shutil.rmtree(sandbox.root / "src")
    shutil.copytree(repo / "src", sandbox.root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "eval.py"):
        (sandbox.root / name).write_text(PROGRAM)
    package = tmp_path / "packages" / "mindspore" / "parallel" / "cluster"
    package.mkdir(parents=True)
    for part in (package, package.parent, package.parent.parent):
        (part / "__init__.py").write_text("")
    (package / "run.py").write_text(MSRUN)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "mpirun").write_text(MPIRUN.format(python=sys.executable))
    (tmp_path / "bin" / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"$STAND_IN_LOG"\nexit ${EXIT:-0}\n')
    for file in (tmp_path / "bin").iterdir():
        file.chmod(0o755)
    sandbox.environment |= {"CRNN_PYTHON": sys.executable, "PYTHONPATH": str(tmp_path / "packages"),
                            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}  # fmt: skip
    (sandbox.caller / "my data").mkdir()
    (sandbox.caller / "my.ckpt").write_text("weights")
    (sandbox.caller / "table.json").write_text(json.dumps({"version": "1.0", "server_list": [
        {"server_id": "192.0.2.1", "device": [{"device_id": str(4 + rank), "rank_id": str(rank)}
                                              for rank in range(3)]}]}))  # fmt: skip
    return sandbox


RESUME = "--resume_ckpt={caller}/my.ckpt"


@pytest.mark.parametrize(
    ("words", "target", "device", "more"),
    [
        ([], "auto", None, []),
        (["3"], "auto", "3", []),
        (["3", "Ascend"], "Ascend", "3", []),
        (["3", "Ascend", "my.ckpt"], "Ascend", "3", [RESUME]),
        (["0", "GPU"], "GPU", "0", []),
        (["0", "GPU", "{caller}/my.ckpt"], "GPU", "0", [RESUME]),
        (["CPU"], "CPU", None, []),
        (["cpu", "my.ckpt"], "CPU", None, [RESUME]),
        (["my.ckpt"], "auto", None, [RESUME]),
        (["12", "my.ckpt"], "auto", "12", [RESUME]),
        (["my.ckpt", "ASCEND", "1"], "Ascend", "1", [RESUME]),
        (["gpu", "2", "--epoch_size=3", "--config_path=a.yaml"], "GPU", "2",
         ["--epoch_size=3", "--config_path={caller}/a.yaml"]),
    ],
)  # fmt: skip
def test_standalone_training(sandbox, words, target, device, more):
    left_over = {"DEVICE_ID": "6", "RANK_ID": "5", "RANK_SIZE": "8", "RANK_TABLE_FILE": "old.json"}
    places = {"caller": sandbox.caller, "root": sandbox.root}
    code, out, err = sandbox.run(TRAIN, "synth", "my data", *[word.format(**places) for word in words], **left_over)
    assert code == 0, err
    [[folder, argv, environment]] = sandbox.calls()
    assert folder == f"{sandbox.root}/train"
    ours = [] if device is None else [f"--device_id={device}"]
    assert argv == [f"{sandbox.root}/train.py", f"--device_target={target}", "--train_dataset=synth",
                    f"--train_dataset_path={sandbox.caller}/my data", *ours, *[m.format(**places) for m in more],
                    ]  # fmt: skip
    assert environment == {"DEVICE_ID": device or "6", "RANK_ID": "0", "RANK_SIZE": "1"}
    assert out == "printed\ncomplained\n" == (sandbox.root / "train" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("words", "target", "device"),
    [
        ([], "auto", None),
        (["1"], "auto", "1"),
        (["1", "Ascend"], "Ascend", "1"),
        (["0", "gpu"], "GPU", "0"),
        (["GPU"], "GPU", None),
        (["CPU"], "CPU", None),
        (["Ascend", "7"], "Ascend", "7"),
    ],
)
def test_evaluation(sandbox, words, target, device):
    code, out, err = sandbox.run(EVAL, "svt", "my data", "my.ckpt", *words, "--decoder=beam", RANK_TABLE_FILE="old")
    assert code == 0, err
    [[folder, argv, environment]] = sandbox.calls()
    assert folder == f"{sandbox.root}/eval"
    ours = [] if device is None else [f"--device_id={device}"]
    assert argv == [f"{sandbox.root}/eval.py", f"--device_target={target}", "--eval_dataset=svt",
                    f"--eval_dataset_path={sandbox.caller}/my data", f"--checkpoint_path={sandbox.caller}/my.ckpt",
                    *ours, "--decoder=beam"]  # fmt: skip
    assert environment == {"RANK_ID": "0", "RANK_SIZE": "1", **({} if device is None else {"DEVICE_ID": device})}
    assert out == "printed\ncomplained\n" == (sandbox.root / "eval" / "log.txt").read_text()


MPI = {"LAUNCHER": "mpirun"}


@pytest.mark.parametrize(
    ("words", "variables", "how", "number", "resumed"),
    [
        (["Ascend", "table.json"], {}, "msrun", 3, False),
        (["Ascend", "{caller}/table.json", "my.ckpt"], {"LAUNCHER": "msrun"}, "msrun", 3, True),
        (["ascend"], {"RANK_TABLE_FILE": "table.json", "DEVICE_NUM": "3"}, "msrun", 3, False),
        (["Ascend", "table.json", "my.ckpt"], {"LAUNCHER": "rank_table"}, "table", 3, True),
        (["Ascend"], {"RANK_TABLE_FILE": "table.json", "LAUNCHER": "rank_table"}, "table", 3, False),
        (["Ascend"], {}, "msrun", 8, False),
        (["Ascend", "my.ckpt"], {"DEVICE_NUM": "2"}, "msrun", 2, True),
        (["Ascend"], {"DEVICE_NUM": "2", "RANK_TABLE_FILE": "table.json", **MPI}, "mpirun", 2, False),
        (["GPU"], {"DEVICE_NUM": "2"}, "msrun", 2, False),
        (["gpu", "my.ckpt"], {"DEVICE_NUM": "1", "LAUNCHER": "msrun"}, "msrun", 1, True),
        (["GPU"], {"DEVICE_NUM": "2", **MPI}, "mpirun", 2, False),
        (["GPU", "my.ckpt"], MPI, "mpirun", 8, True),
        (["CPU"], {"DEVICE_NUM": "2", "RANK_TABLE_FILE": "old"}, "msrun", 2, False),
        (["CPU", "my.ckpt"], {"DEVICE_NUM": "2"}, "msrun", 2, True),
    ],
)
def test_distributed_training(sandbox, words, variables, how, number, resumed):
    code, out, err = sandbox.run(MANY, "synth", "my data", *[word.format(caller=sandbox.caller) for word in words],
                                 "--label_dict=abc", "--output_dir=out", **variables)  # fmt: skip
    assert code == 0, err
    target = {"ascend": "Ascend", "gpu": "GPU", "cpu": "CPU"}[words[0].lower()]
    calls = {folder: (argv, environment) for folder, argv, environment in sandbox.calls()}
    if how == "msrun":
        argv, environment = calls.pop(f"{sandbox.root}/train_parallel_scheduler")
        assert environment["MS_ROLE"] == "MS_SCHED"
    assert calls.keys() == {f"{sandbox.root}/train_parallel{rank}" for rank in range(number)}
    for rank in range(number):
        argv, environment = calls[f"{sandbox.root}/train_parallel{rank}"]
        assert argv == [f"{sandbox.root}/train.py", "--run_distribute=True", f"--device_target={target}",
                        "--train_dataset=synth", f"--train_dataset_path={sandbox.caller}/my data",
                        *([f"--resume_ckpt={sandbox.caller}/my.ckpt"] if resumed else []), "--label_dict=abc",
                        f"--output_dir={sandbox.caller}/out"]  # fmt: skip
        assert environment == {
            "table": {"DEVICE_ID": str(4 + rank), "RANK_ID": str(rank), "RANK_SIZE": str(number),
                      "RANK_TABLE_FILE": f"{sandbox.caller}/table.json"},
            "msrun": {"DEVICE_ID": str(rank + 4 * (number == 3)), "RANK_ID": str(rank), "RANK_SIZE": str(number),
                      "MS_ROLE": "MS_WORKER"},
            "mpirun": {"OMPI_COMM_WORLD_RANK": str(rank)},
        }[how]  # fmt: skip
        log = sandbox.root / f"train_parallel{rank}" / "log.txt"
        assert log.read_text() == "printed\ncomplained\n"
    assert out == "printed\ncomplained\n"


@pytest.mark.parametrize(("script", "words"), [(TRAIN, ["CPU"]), (EVAL, ["my.ckpt"]), (MANY, ["Ascend", "table.json"])])
def test_the_exit_code_is_the_programs(sandbox, script, words):
    code, _, err = sandbox.run(script, "synth", "my data", *words, EXIT="37")
    assert code == 37


def test_the_failing_rank_is_named(sandbox):
    code, _, err = sandbox.run(MANY, "synth", "my data", "Ascend", "table.json", EXIT="37", FAILING="1")
    assert code == 37
    log = f"{sandbox.root}/train_parallel1/log.txt"
    assert (f"error: rank 1 failed with exit code 37; the run is ended. The last lines of {log}:\n"
            "| printed\n| complained\n") in err  # fmt: skip


@pytest.mark.parametrize(
    ("script", "words", "variables", "expected"),
    [
        (TRAIN, ["synth"], {}, "Usage:"),
        (TRAIN, ["synth", "my data", "0", "CPU", "my.ckpt", "x"], {}, "Usage:"),
        (TRAIN, ["synth", "none"], {}, "error: DATASET_PATH none does not exist"),
        (TRAIN, ["synth", "my data", "none.ckpt"], {}, "error: none.ckpt is neither a device number nor a platform"),
        (TRAIN, ["synth", "my data", "my data"], {}, "error: my data is neither a device number nor a platform"),
        (TRAIN, ["synth", "my data", "-1"], {}, "error: cannot read the option -1"),
        (TRAIN, ["synth", "my data", "1", "2"], {}, "error: two numbers are given for DEVICE_ID, 1 and 2"),
        (TRAIN, ["synth", "my data", "CPU", "gpu"], {}, "error: two platforms are given, CPU and gpu"),
        (TRAIN, ["synth", "my data", "my.ckpt", "my.ckpt"], {}, "error: two files are given for RESUME_CKPT"),
        (EVAL, ["svt", "my data"], {}, "Usage:"),
        (EVAL, ["svt", "none", "my.ckpt"], {}, "error: DATASET_PATH none does not exist"),
        (EVAL, ["svt", "my data", "GPU"], {}, "error: CHECKPOINT_PATH GPU is not a file"),
        (EVAL, ["svt", "my data", "my.ckpt", "TPU"], {}, "error: TPU is neither a device number nor a platform"),
        (EVAL, ["svt", "my data", "my.ckpt", "1", "2"], {}, "error: two numbers are given for DEVICE_ID, 1 and 2"),
        (EVAL, ["svt", "my data", "my.ckpt", "--fast"], {}, "error: cannot read the option --fast"),
        (MANY, ["synth", "my data"], {}, "Usage:"),
        (MANY, ["synth", "none", "CPU"], {}, "error: DATASET_PATH none does not exist"),
        (MANY, ["synth", "my data", "table.json"], {}, "error: PLATFORM table.json is not known; choose Ascend, GPU"),
        (MANY, ["synth", "my data", "Ascend", "none.json"], {}, "rank table {caller}/none.json: No such file"),
        (MANY, ["synth", "my data", "Ascend", "table.json"], {"DEVICE_NUM": "8"}, "lists 3 devices of this host"),
        (MANY, ["synth", "my data", "Ascend", "table.json", "b.json"], {}, "error: two rank tables are given"),
        (MANY, ["synth", "my data", "GPU", "table.json"], {}, "error: RANK_TABLE_FILE table.json is for Ascend"),
        (MANY, ["synth", "my data", "CPU", "none.ckpt"], {}, "error: none.ckpt is neither a rank table"),
        (MANY, ["synth", "my data", "CPU", "my.ckpt", "my.ckpt"], {}, "error: two files are given for RESUME_CKPT"),
        (MANY, ["synth", "my data", "CPU"], {"LAUNCHER": "mpirun"}, "error: MindSpore has no mpirun on the CPU"),
        (MANY, ["synth", "my data", "GPU"], {"LAUNCHER": "torchrun"}, "error: LAUNCHER torchrun is not known"),
        (MANY, ["synth", "my data", "Ascend", "table.json"], {"LAUNCHER": "mpirun"}, "error: mpirun takes no rank"),
        (MANY, ["synth", "my data", "Ascend"], {"LAUNCHER": "rank_table"}, "error: LAUNCHER rank_table needs a RANK_T"),
        (MANY, ["synth", "my data", "GPU"], {"LAUNCHER": "rank_table"}, "error: LAUNCHER rank_table is for Ascend"),
        (MANY, ["synth", "my data", "GPU"], {"DEVICE_NUM": "all"}, "error: environment variable DEVICE_NUM: expected"),
        (DOCKER, ["image", "my data"], {}, "Usage:"),
        (DOCKER, ["image", "my data", "none"], {}, "error: none is not a folder"),
        (DOCKER, ["image", "a:b", "my data"], {}, "error: a:b: docker cannot mount a path with a colon"),
    ],
)
def test_wrong_arguments(sandbox, script, words, variables, expected):
    (sandbox.caller / "a:b").mkdir()
    code, out, err = sandbox.run(script, *words, **variables)
    assert code == 2 and out == ""
    assert expected.format(caller=sandbox.caller) in err
    if expected.startswith(("error", "Usage")):
        assert err.startswith(expected)
    assert sandbox.calls() == []
    assert not any(path.name.startswith(("train_", "eval")) and path.is_dir() for path in sandbox.root.iterdir())


@pytest.mark.parametrize("script", [TRAIN, EVAL, MANY, DOCKER])
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(sandbox, script, word):
    code, out, err = sandbox.run(script, word)
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: bash scripts/{script}") and max(map(len, out.splitlines())) <= 120


def docker_words(sandbox, host, *command, **variables) -> list[str]:
    code, _, err = sandbox.run(DOCKER, "my:image", "my data", ".", *command, CRNN_HOST_ROOT=str(host), **variables)
    assert code == int(variables.get("EXIT", 0)), err
    return sandbox.log.read_text().splitlines()


def test_a_container_on_the_cpu(sandbox, tmp_path):
    data, caller = f"{sandbox.caller}/my data", sandbox.caller
    common = ["run", "--interactive", "--ipc=host", f"--volume={data}:{data}", f"--workdir={caller}",
              f"--volume={caller}:{caller}"]  # fmt: skip
    assert docker_words(sandbox, tmp_path / "none") == [*common, "my:image", "/bin/bash"]
    assert docker_words(sandbox, tmp_path / "none", "python", "-c 1", EXIT="5")[-3:] == ["my:image", "python", "-c 1"]
    (tmp_path / "bin" / "nvidia-ctk").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "nvidia-ctk").chmod(0o755)
    assert docker_words(sandbox, tmp_path / "none") == [*common, "--gpus=all", "my:image", "/bin/bash"]


def test_a_container_on_ascend(sandbox, tmp_path):
    host = tmp_path / "host"
    for name in ("dev/davinci0", "dev/davinci1", "dev/davinci_manager", "dev/devmm_svm", "usr/local/bin/npu-smi"):
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text("")
    (host / "usr/local/Ascend/driver").mkdir(parents=True)
    code, _, err = sandbox.run(DOCKER, "image", "my data", ".", CRNN_HOST_ROOT=str(host))
    assert code == 2 and "/dev/hisi_hdc is missing, so the Ascend driver does not run" in err
    (host / "dev" / "hisi_hdc").write_text("")
    words = docker_words(sandbox, host)
    assert [word for word in words if word.startswith("--device")] == [
        f"--device=/dev/{name}" for name in ("davinci0", "davinci1", "davinci_manager", "devmm_svm", "hisi_hdc")
    ]
    assert words[-4:-2] == ["--volume=/usr/local/Ascend/driver:/usr/local/Ascend/driver:ro",
                            "--volume=/usr/local/bin/npu-smi:/usr/local/bin/npu-smi:ro"]  # fmt: skip


def test_the_dockerfile(repo):
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, repo / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_that_git_ignores_gets_into_the_image(repo):
    ignored = {line.strip("/") for line in (repo / ".gitignore").read_text().splitlines()}
    kept_out = {line.removeprefix("**/") for line in (repo / ".dockerignore").read_text().splitlines()}
    assert ignored - kept_out <= {"*.pyc"}
    assert (repo / ".dockerignore").read_text().find(".git\n") >= 0


TINY = ("--batch_size=4", "--hidden_size=16", "--learning_rate=0.001", "--optimizer=adamw", "--loss_reduction=mean",
        "--per_print_time=1", "--num_parallel_workers=1")  # fmt: skip


@pytest.fixture
def checkout(repo, tmp_path):
    """A copy of what the scripts run, so that working folders in the repository stay as they are."""
    sandbox = Sandbox(repo, tmp_path)
    shutil.rmtree(sandbox.root / "src")
    shutil.copytree(repo / "src", sandbox.root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "eval.py", "default_config.yaml"):
        shutil.copy(repo / name, sandbox.root / name)
    sandbox.environment |= {**os.environ, "CRNN_PYTHON": sys.executable, "DEVICE_NUM": "2"}
    write_synth_set(sandbox.caller / "set")
    return sandbox


def read(path) -> list[str]:
    """The words of a file below /proc; none when the process is gone."""
    try:
        return Path(path).read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def programs(checkout) -> list[int]:
    """The processes that run train.py of this checkout, without those that look after them."""
    found = {int(path.parent.name): read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
    return [pid for pid, words in found.items() if f"{checkout.root}/train.py" in words[1:2]]


@pytest.mark.slow
def test_one_process_trains_and_evaluates_on_the_cpu(checkout):
    process = checkout.start(TRAIN, "synth", "set", "CPU", *TINY, "--epoch_size=1")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, out + err
    [checkpoint] = (checkout.root / "train/output/ckpt").glob("crnn-1_*.ckpt")
    process = checkout.start(EVAL, "synth", "set", checkpoint, "0", "cpu", "--hidden_size=16")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, out + err
    assert "total num: 10" in (checkout.root / "eval/log.txt").read_text()


@pytest.mark.slow
def test_two_processes_train_on_the_cpu(checkout):
    process = checkout.start(MANY, "synth", "set", "CPU", *TINY, "--epoch_size=1")
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, out + err
    assert "rank 0 of 2" in out and out == (checkout.root / "train_parallel0/log.txt").read_text()
    assert "rank 1 of 2" in (checkout.root / "train_parallel1/log.txt").read_text()
    [checkpoint] = checkout.root.rglob("crnn-1_*.ckpt")
    assert checkpoint.parent == checkout.root / "train_parallel0/output/ckpt"
    # Goes on from it, and one rank is killed.
    process = checkout.start(MANY, "synth", "set", "CPU", checkpoint, *TINY, "--epoch_size=100")
    until = time.monotonic() + 600
    while process.poll() is None and "epoch: 2 step: 1" not in (checkout.root / "train_parallel0/log.txt").read_text():
        assert time.monotonic() < until
        time.sleep(0.5)
    for pid in programs(checkout):
        if "RANK_ID=1" in read(f"/proc/{pid}/environ"):
            os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 137, out + err
    assert "error: rank 1 was ended by SIGKILL" in err
    assert not programs(checkout)


@pytest.mark.slow
def test_two_processes_end_cleanly_on_sigterm(checkout):
    process = checkout.start(MANY, "synth", "set", "CPU", *TINY, "--epoch_size=100")
    log = checkout.root / "train_parallel0/log.txt"
    until = time.monotonic() + 600
    while process.poll() is None and not (log.exists() and "epoch: 1 step: 1" in log.read_text()):
        assert time.monotonic() < until
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143, out + err
    assert list((checkout.root / "train_parallel0/output/ckpt").glob("*.ckpt"))


@pytest.mark.slow
@pytest.mark.parametrize("who", ["0", "1", "scheduler"])
def test_a_process_that_hangs_ends_the_run(checkout, who):
    process = checkout.start(MANY, "synth", "set", "CPU", *TINY, "--epoch_size=1000")
    log = checkout.root / "train_parallel0/log.txt"
    until = time.monotonic() + 600
    while process.poll() is None and not (log.exists() and "epoch: 2 step: 1" in log.read_text()):
        assert time.monotonic() < until
        time.sleep(0.5)
    for pid in programs(checkout):
        found = dict(word.partition("=")[::2] for word in read(f"/proc/{pid}/environ"))
        if who == ("scheduler" if found["MS_ROLE"] == "MS_SCHED" else found["MS_NODE_ID"]):
            os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        out, err = process.communicate(timeout=HANG_SECONDS + FAILURE_SECONDS + 15)
    finally:
        process.kill()
    print(f"{who} stopped: ended after {time.monotonic() - began:.1f} s, exit code {process.returncode}")
    name = "the scheduler of msrun" if who == "scheduler" else f"rank {who}"
    assert process.returncode == 2 and f"error: {name} hangs: stopped (SIGSTOP) for {HANG_SECONDS} s" in err, err
    assert not programs(checkout)
