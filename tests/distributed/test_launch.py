"""The launcher with stand-ins for the program, msrun and mpirun: nothing of a run may outlive it, whatever happens."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from src.common.errors import ConfigError
from src.distributed import hosts, rank_process
from src.distributed import launch as launcher
from src.distributed.rank_watch import describe
from tests.ranks import free_port

pytestmark = pytest.mark.usefixtures("signals_as_usual")

# The program of each rank: says what it got, then does what PLAN, a JSON object by rank, says.
PROGRAM = """
import json, os, signal, subprocess, sys, time
name = os.environ.get("RANK_ID") or os.environ["OMPI_COMM_WORLD_RANK"]
name = "scheduler" if os.environ.get("MS_ROLE") == "MS_SCHED" else name
plan = json.loads(os.environ["PLAN"]).get(name, ["exit", 0])
names = ("RANK_ID", "RANK_SIZE", "DEVICE_ID", "RANK_TABLE_FILE", "MS_ROLE", "MS_NODE_ID", "OMPI_COMM_WORLD_SIZE",
         "GLOG_v", "CRNN_LAUNCH_SHARE_CORES")
found = {key: os.environ[key] for key in names if key in os.environ}
print(json.dumps({"argv": sys.argv[1:], "cwd": os.getcwd(), **found}), flush=True)
with open(os.environ["PIDS"], "a") as file:
    file.write(f"{os.getpid()} {os.getppid()}\\n")


def wait(how):
    def end(number, frame):
        time.sleep(0.6 if how == "slow" else 0)
        print("checkpoint written", flush=True)
        sys.exit(100 + number)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if how == "stubborn" else end)
    print("waiting", flush=True)
    time.sleep(60)
    sys.exit(99)


while plan:
    what, value, *plan = plan
    if what == "print":
        print(value, flush=True)
    elif what == "sleep":
        time.sleep(value)
    elif what == "wait":
        wait(value)
    elif what == "kill":
        os.kill(os.getpid(), value)
    elif what == "says":  # until the log of another rank does
        while not os.path.exists(value[0]) or value[1] not in open(value[0]).read():
            time.sleep(0.01)
    elif what == "ended":  # until another rank has
        while not os.path.exists(value) or open(value).read() == "":
            time.sleep(0.01)
        pid = open(value).read()
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.01)
        time.sleep(0.5)  # until it is noted, too
    elif what == "pid":
        with open(value, "w") as file:
            file.write(str(os.getpid()))
    elif what == "helper":  # a grandchild in a session of its own that outlives its parent
        helper = subprocess.Popen(["sleep", "60"], start_new_session=True)
        with open(os.environ["PIDS"], "a") as file:
            file.write(f"{helper.pid}\\n")
    elif what == "exit":
        sys.exit(value)
"""

LAUNCHER = """
from src.common.errors import run_main
from src.distributed import launch, rank_watch
rank_watch.HANG_SECONDS = {}
run_main(launch.main)
"""

# Does what msrun --join=False does; takes the place of the module in the package.
MSRUN = """
import argparse, os, subprocess, sys
parser = argparse.ArgumentParser()
for name in ("--worker_num", "--local_worker_num", "--master_port", "--node_rank"):
    parser.add_argument(name, type=int)
for name in ("--master_addr", "--log_dir", "--join", "task_script"):
    parser.add_argument(name)
parser.add_argument("words", nargs=argparse.REMAINDER)
options = parser.parse_args()
assert (options.join, options.task_script) == ("False", "python3") and 1024 <= options.master_port <= 65535, options
hosts, first = options.worker_num // options.local_worker_num, options.node_rank * options.local_worker_num
expected = ("127.0.0.1", 0) if hosts == 1 else (os.environ["MASTER_ADDR"], int(os.environ["NODE_RANK"]))
assert (options.master_addr, options.node_rank) == expected, options
print("msrun says: starting", flush=True)
if "MSRUN_FAILS" in os.environ:
    sys.exit(os.environ["MSRUN_FAILS"] if os.environ["MSRUN_FAILS"] != "quietly" else 0)
os.environ.update(RANK_SIZE=str(options.worker_num), MS_WORKER_NUM=str(options.worker_num), RANK_ID="0",
                  MS_SCHED_PORT=str(options.master_port), MS_ROLE="MS_SCHED")
if options.node_rank == 0:
    subprocess.Popen(["python3", *options.words], stdout=open(options.log_dir + "/scheduler.log", "w"), stderr=2)
for rank in map(str, range(first, first + options.local_worker_num)):
    os.environ.update(MS_ROLE="MS_WORKER", RANK_ID=rank, MS_NODE_ID=rank, DEVICE_ID=rank)
    log = open(f"{options.log_dir}/worker_{rank}.log", "w")
    subprocess.Popen(["python3", *options.words], preexec_fn=os.setsid, stdout=log, stderr=log)
"""

# As Open MPI's does: waits, and kills the others when one ends with another code than 0.
MPIRUN = """#!{python}
import os, subprocess, sys, time
number, words = int(sys.argv[2]), sys.argv[5:]
assert sys.argv[1] == "-n" and sys.argv[3:5] == ["--bind-to", "none"]
assert os.getuid() or os.environ["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"
os.environ["OMPI_COMM_WORLD_SIZE"] = sys.argv[2]
ranks = [subprocess.Popen(words, env=os.environ | {{"OMPI_COMM_WORLD_RANK": str(rank)}}) for rank in range(number)]
while None in [rank.poll() for rank in ranks]:
    if any(rank.returncode for rank in ranks):
        for rank in ranks:
            rank.kill()
        sys.exit("mpirun says: a rank failed")
    time.sleep(0.05)
sys.exit(max(rank.returncode for rank in ranks))
"""


class Runs:
    """Starts the launcher in a folder of its own."""

    def __init__(self, repo: Path, folder: Path):
        self.folder, self.pids, self.repo = folder, folder / "pids", repo
        self.started: list[subprocess.Popen] = []
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM)
        self.table = folder / "table.json"
        self.table.write_text(json.dumps({"version": "1.0", "server_list": [{"server_id": "192.0.2.1", "device": [
            {"device_id": "4", "rank_id": "0"}, {"device_id": "6", "rank_id": "1"}]}]}))  # fmt: skip
        package = folder / "packages" / "mindspore" / "parallel" / "cluster"
        package.mkdir(parents=True)
        for part in (package, package.parent, package.parent.parent):
            (part / "__init__.py").write_text("")
        (package / "run.py").write_text(MSRUN)
        (folder / "bin").mkdir()
        (folder / "bin" / "mpirun").write_text(MPIRUN.format(python=sys.executable))
        (folder / "bin" / "mpirun").chmod(0o755)

    def start(self, how, plan=(), words=(), hang_seconds=30, **environment) -> subprocess.Popen:
        options = [f"--launcher={how}", f"--folder={self.folder}/part"]
        options += [f"--rank_table={self.table}"] if how in ("rank_table", "msrun with a table") else []
        options[0] = options[0].removesuffix(" with a table")
        options += ["--share_cores"] if how == "msrun" else []
        stale = {"RANK_ID": "7", "RANK_SIZE": "9", "DEVICE_ID": "5", "MS_ROLE": "MS_WORKER", "MS_NODE_ID": "3",
                 "RANK_TABLE_FILE": "old", "OMPI_COMM_WORLD_RANK": "3"}  # fmt: skip
        environment = {
            **{k: v for k, v in os.environ.items() if k != "DEVICE_NUM"}, **stale, "PIDS": str(self.pids),
            "PYTHONPATH": str(self.folder / "packages"), "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PLAN": json.dumps(dict(plan)), "TMPDIR": str(self.folder),
            **({"DEVICE_NUM": "2"} if how in ("msrun", "mpirun") else {}), **environment,
        }  # fmt: skip
        self.started.append(subprocess.Popen(
            [sys.executable, "-c", LAUNCHER.format(hang_seconds), *options, "--", sys.executable, str(self.program),
             *words],
            cwd=self.repo, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        ))  # fmt: skip
        return self.started[-1]

    def run(self, how, plan=(), words=(), **environment):
        process = self.start(how, plan, words, **environment)
        out, err = process.communicate(timeout=180)
        return process.returncode, out, err

    def log(self, rank) -> str:
        path = self.folder / f"part{rank}" / "log.txt"
        return path.read_text() if path.exists() else ""

    def until(self, text, *ranks) -> None:
        end = time.monotonic() + 30
        while not all(text in self.log(rank) for rank in ranks):
            assert time.monotonic() < end, "the ranks did not start"
            time.sleep(0.02)

    def left(self) -> list[int]:
        """Processes of the programs, their parents and their helpers that still run."""
        pids = {int(word) for word in self.pids.read_text().split()} if self.pids.exists() else set()
        return [pid for pid in pids - {os.getpid()} if runs_still(pid)]


def runs_still(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def runs(repo, tmp_path):
    runs = Runs(repo, tmp_path)
    yield runs
    for process in runs.started:
        if process.poll() is None:  # the test failed
            process.kill()
            process.communicate()


HOW = ("rank_table", "msrun", "mpirun")
HOW_WITH_TABLE = ("rank_table", "msrun with a table", "msrun", "mpirun")


@pytest.mark.parametrize("how", HOW_WITH_TABLE)
def test_what_the_program_gets(runs, how):
    (runs.folder / "part1").mkdir()
    (runs.folder / "part1" / "log.txt").write_text("before")
    code, out, err = runs.run(how, {"0": ["print", "hello"], "1": ["print", "hidden"]}, ["--a=b c", "--", "-x"])
    assert code == 0, err
    assert out.endswith("hello\n") and "hidden" not in out and out == runs.log(0)
    assert (runs.folder / "part1" / "log.previous.txt").read_text() == "before"
    for rank in (0, 1):
        got = json.loads(runs.log(rank).splitlines()[0])
        assert got.pop("cwd") == str(runs.folder / f"part{rank}")
        assert got.pop("argv") == ["--a=b c", "--", "-x"]
        assert got.pop("GLOG_v") == "3"
        assert got == {
            "rank_table": {"RANK_ID": str(rank), "RANK_SIZE": "2", "DEVICE_ID": str(4 + 2 * rank),
                           "RANK_TABLE_FILE": str(runs.table)},
            "msrun": {"RANK_ID": str(rank), "RANK_SIZE": "2", "DEVICE_ID": str(rank), "MS_ROLE": "MS_WORKER",
                      "MS_NODE_ID": str(rank), "CRNN_LAUNCH_SHARE_CORES": "2"},
            "msrun with a table": {"RANK_ID": str(rank), "RANK_SIZE": "2", "DEVICE_ID": str(4 + 2 * rank),
                                   "MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(rank)},
            "mpirun": {"OMPI_COMM_WORLD_SIZE": "2"},
        }[how]  # fmt: skip
    assert (runs.folder / "part_scheduler" / "log.txt").exists() == how.startswith("msrun")
    assert not runs.left()


@pytest.mark.parametrize("how", HOW)
def test_one_failing_rank_ends_the_run(runs, how):
    text = [part for number in range(30) for part in ("print", f"line {number}")]
    waiting = str(runs.folder / "part0" / "log.txt")
    plan = {"0": ["helper", 0, "wait", ""], "1": ["says", [waiting, "waiting"], *text, "exit", 37],
            "scheduler": ["wait", "stubborn"]}
    code, out, err = runs.run(how, plan)
    assert code == 37
    lines = err.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("error: "))
    assert lines[start].replace(" (after it: rank 0)", "") == (
        f"error: rank 1 failed with exit code 37; the run is ended. The last lines of {runs.folder}/part1/log.txt:")
    assert lines[start + 1 :] == [f"| line {number}" for number in range(10, 30)]
    assert out.splitlines()[-1] in ("waiting", "checkpoint written")
    assert not runs.left()


def test_a_rank_that_is_killed_and_others_that_do_not_listen(runs):
    plan = {"0": ["sleep", 0.5, "kill", signal.SIGKILL], "1": ["wait", "stubborn"]}
    code, _, err = runs.run("rank_table", plan, CRNN_STOP_SECONDS="1")
    assert code == 137 and "rank 0 was ended by SIGKILL (the system does that when memory runs out)" in err
    assert not runs.left()


@pytest.mark.parametrize(("who", "name"), [("1", "rank 1"), ("scheduler", "the scheduler of msrun")])
def test_a_process_that_hangs_is_named(runs, who, name):
    """It is stopped, and the others wait for it."""
    plan = {"0": ["wait", ""], "1": ["wait", ""], "scheduler": ["wait", ""]} | {who: ["sleep", 1, "kill", 19]}
    began = time.monotonic()
    code, out, err = runs.run("msrun", plan, CRNN_STOP_SECONDS="1", hang_seconds=2)
    assert code == 2 and out.endswith("waiting\ncheckpoint written\n") and time.monotonic() - began > 3
    assert err.splitlines()[-1] == (f"error: {name} hangs: stopped (SIGSTOP) for 2 s while others wait for it; the run "
                                    "is ended. Its last checkpoint is to go on from")
    assert not runs.left()


def test_a_run_that_is_stopped_as_a_whole_may_go_on(runs):
    process = runs.start("rank_table", {rank: ["sleep", 1] for rank in "01"}, hang_seconds=2)
    runs.until("argv", 0, 1)
    ranks = [pid for pid in runs.left() if "program.py" in Path(f"/proc/{pid}/cmdline").read_text()]
    for number, seconds in ((signal.SIGSTOP, 4), (signal.SIGCONT, 0)):
        for pid in ranks:
            os.kill(pid, number)
        time.sleep(seconds)
    assert len(ranks) >= 2 and process.communicate(timeout=60)[1].count("error") == process.returncode == 0


def test_the_cause_is_named_before_its_effects(runs):
    pid = str(runs.folder / "pid of 1")
    code, _, err = runs.run("rank_table", {"0": ["ended", pid, "exit", 1], "1": ["sleep", 0.3, "pid", pid, "exit", 2]})
    assert code == 2 and "error: rank 1 failed with exit code 2" in err


@pytest.mark.parametrize("how", ["rank_table", "msrun"])
def test_somebody_kills_a_process_between_the_launcher_and_the_program(runs, how):
    process = runs.start(how, {"0": ["wait", ""], "1": ["wait", ""], "scheduler": ["wait", ""]})
    runs.until("waiting", 0, 1)
    pid = json.loads(next(runs.folder.glob("crnn_launch_*/1")).read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 137 and "error: rank 1 was ended by SIGKILL" in err
    assert not runs.left()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_all_ranks(runs, how, number):
    process = runs.start(how, {"0": ["wait", "slow"], "1": ["wait", ""], "scheduler": ["wait", "stubborn"]})
    runs.until("waiting", 0, 1)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 100 + number, err
    assert f"{number.name}: the ranks have 120 s to end" in err and "error" not in err
    assert all(runs.log(rank).endswith("checkpoint written\n") for rank in (0, 1)) and out == runs.log(0)
    assert not runs.left()


@pytest.mark.parametrize("patience", ["0.5", "100"])
def test_ranks_that_do_not_end_are_killed(runs, patience):
    process = runs.start("msrun", {"0": ["wait", "stubborn"], "1": ["wait", "stubborn"], "scheduler": ["wait", ""]},
                         CRNN_STOP_SECONDS=patience)  # fmt: skip
    runs.until("waiting", 0, 1)
    process.send_signal(signal.SIGTERM)
    if patience == "100":
        said = ""
        while "once more ends them at once" not in said:
            said += process.stderr.readline()
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143 and "error: rank 0, 1 did not end and is killed" in err
    assert not runs.left()


def test_ranks_do_not_outlive_a_killed_launcher(runs):
    process = runs.start("msrun", {"0": ["wait", ""], "1": ["wait", ""], "scheduler": ["wait", ""]})
    runs.until("waiting", 0, 1, "_scheduler")
    process.kill()
    process.communicate()
    end = time.monotonic() + 20
    while runs.left() and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs.left()
    assert all(runs.log(rank).endswith("checkpoint written\n") for rank in (0, 1))


@pytest.mark.parametrize("host", [0, 1])
def test_msrun_on_one_of_two_hosts(runs, host):
    """Each starts its own ranks; the scheduler is the first one's."""
    code, out, err = runs.run("msrun", NODE_NUM="2", NODE_RANK=str(host), MASTER_ADDR="127.0.0.1",
                              MASTER_PORT=str(free_port()))
    assert code == 0, err
    assert {path.name for path in runs.folder.glob("part*")} == {
        f"part{2 * host}", f"part{2 * host + 1}", *(["part_scheduler"] if host == 0 else [])}
    told = json.loads((runs.folder / f"part{2 * host + 1}" / "log.txt").read_text().splitlines()[0])
    assert (told["RANK_ID"], told["RANK_SIZE"]) == (str(2 * host + 1), "4") and f"rank {2 * host}" in err


@pytest.mark.parametrize("host", [0, 1])
def test_a_rank_table_of_two_hosts_in_msruns_terms(runs, host):
    table = json.loads(runs.table.read_text())
    table["server_list"][0]["server_id"] = "127.0.0.1"
    table["server_list"].append({"server_id": "second", "device": [
        {"device_id": "1", "rank_id": "3"}, {"device_id": "5", "rank_id": "2"}]})
    runs.table.write_text(json.dumps(table))
    code, out, err = runs.run("msrun with a table", SERVER_ID=("127.0.0.1", "second")[host], NODE_RANK=str(host),
                              MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()))
    assert code == 0, err
    for place, device in enumerate((["4", "6"], ["5", "1"])[host]):
        told = json.loads((runs.folder / f"part{2 * host + place}" / "log.txt").read_text().splitlines()[0])
        assert (told["RANK_ID"], told["RANK_SIZE"], told["DEVICE_ID"]) == (str(2 * host + place), "4", device)


@pytest.mark.parametrize("lost", [0, 1])
def test_the_launcher_of_one_of_two_hosts_is_killed(runs, lost):
    """Whichever it is, the other one ends its ranks, which would wait for ever."""
    common = {"NODE_NUM": "2", "DEVICE_NUM": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    plan = {rank: ["wait", ""] for rank in ("0", "1", "scheduler")}
    both = [runs.start("msrun", plan, NODE_RANK=str(host), **common) for host in (0, 1)]
    runs.until("waiting", 0, 1)
    time.sleep(1.2)  # the second looks for the first every second at most
    both[lost].kill()
    killed = time.monotonic()
    _, err = both[1 - lost].communicate(timeout=60)
    assert both[1 - lost].returncode == 2 and time.monotonic() - killed < 20
    assert f"error: host {lost} has ended, and its log says why; the run is ended here, too" in err
    both[lost].communicate(timeout=60)
    end = time.monotonic() + 20
    while runs.left() and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs.left()


def test_two_hosts_end_well(runs):
    """One after the other: the end of a host that is done is no failure."""
    common = {"NODE_NUM": "2", "DEVICE_NUM": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    plan = {"0": ["sleep", 1.5], "1": ["sleep", 3]}
    both = [runs.start("msrun", plan, NODE_RANK=str(host), **common) for host in (0, 1)]
    assert [(host.communicate(timeout=60)[1].count("error"), host.returncode) for host in both] == [(0, 0), (0, 0)]


def test_msrun_fails(runs):
    code, out, err = runs.run("msrun", MSRUN_FAILS="msrun says: no")
    assert (code, out) == (1, "")
    assert err.endswith("error: msrun failed with exit code 1; the run is ended. The last lines it printed:\n"
                        "| msrun says: starting\n| msrun says: no\n")  # fmt: skip


def test_msrun_starts_nothing(runs):
    code, _, err = runs.run("msrun", MSRUN_FAILS="quietly")
    assert code == 1 and "error: msrun ended before all ranks had started; the run is ended" in err


def test_the_scheduler_fails(runs):
    plan = {"0": ["wait", ""], "1": ["wait", ""], "scheduler": ["sleep", 0.5, "print", "no port", "exit", 3]}
    code, _, err = runs.run("msrun", plan)
    assert code == 3 and "error: the scheduler of msrun failed with exit code 3" in err and "| no port\n" in err
    assert not runs.left()


def test_the_scheduler_may_take_its_time(runs):
    assert runs.run("msrun", {"scheduler": ["sleep", 1, "print", "done"]})[0] == 0
    assert runs.log("_scheduler").endswith("done\n")


def test_a_folder_that_cannot_be_made(runs):
    (runs.folder / "part1").write_text("in the way")
    code, _, err = runs.run("rank_table", {"0": ["wait", ""]})
    assert code == 127 and "rank 1 failed with exit code 127" in err and "File exists" in err
    assert not runs.left()


def test_the_rank_table_is_checked_before_anything_starts(runs):
    text = runs.table.read_text()
    runs.table.write_text(text.replace('"rank_id": "1"', '"rank_id": "0"'))
    code, out, err = runs.run("rank_table")
    assert (code, out) == (2, "") and err.startswith(f"error: rank table {runs.table}: rank_id 0 appears twice")
    runs.table.write_text(text)
    for how in ("rank_table", "msrun with a table"):
        code, _, err = runs.run(how, DEVICE_NUM="8")
        assert code == 2 and "DEVICE_NUM is 8, but rank table" in err and "lists 2 devices of this host" in err
    assert not (runs.folder / "part0").exists()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"DEVICE_NUM": "0"}, "error: environment variable DEVICE_NUM: expected a number from 1 to 4096, got '0'"),
        ({"DEVICE_NUM": "two"}, "got 'two'"),
        ({"CRNN_STOP_SECONDS": "-1"}, "error: environment variable CRNN_STOP_SECONDS: expected a number, got '-1'"),
        ({"MASTER_PORT": "80"}, "error: environment variable MASTER_PORT: expected a number from 1024 to 65534"),
        ({"NODE_NUM": "2"}, "NODE_RANK has to say which of the hosts this is, from 0"),
        ({"NODE_NUM": "2", "NODE_RANK": "2"}, "NODE_RANK: expected a number from 0 to 1, got '2'"),
        ({"NODE_NUM": "2", "NODE_RANK": "1"}, "MASTER_ADDR has to be the address of the first host"),
        ({"NODE_NUM": "2", "NODE_RANK": "0", "MASTER_ADDR": "192.0.2.7"}, "port 8119 of 192.0.2.7, by which the hosts"),
    ],
)
def test_numbers_from_the_environment(runs, variables, expected):
    code, _, err = runs.run("msrun", **variables)
    assert code == 2 and expected in err


def test_defaults(monkeypatch):
    monkeypatch.delenv("DEVICE_NUM", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    assert hosts.device_num() == 8
    assert 1024 <= hosts.scheduler_port(1) <= 65535
    assert hosts.scheduler_port(2) == 8118
    monkeypatch.setenv("MASTER_PORT", "8119")
    assert hosts.scheduler_port(1) == 8119
    assert describe(128 + signal.SIGSEGV) == "was ended by SIGSEGV" and describe(3) == "failed with exit code 3"


def test_without_mpirun(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(launcher, "Launch", FakeLaunch)
    with pytest.raises(ConfigError, match="mpirun is not installed; install Open MPI, or leave LAUNCHER out"):
        launcher.start_mpirun("folder", ["program"])


@pytest.mark.parametrize(
    ("ranks", "name", "expected"),
    [("2", "0", [0, 1]), ("2", "1", [4, 6, 7]), ("5", "3", [6]), ("6", "3", None), ("1", "0", None), ("", "0", None),
     ("2", "_scheduler", None)],
)  # fmt: skip
def test_ranks_on_the_cpu_share_the_cores(monkeypatch, ranks, name, expected):
    taken = []
    monkeypatch.setenv(rank_process.SHARE_VARIABLE, ranks)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 0, 1, 6, 4})
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: taken.append(cores))
    rank_process.take_share_of_cores(name)
    assert taken == ([] if expected is None else [expected])


class FakeLaunch:
    def __init__(self, *words):
        pass

    def start(self, command, log):
        raise FileNotFoundError(command[0])
