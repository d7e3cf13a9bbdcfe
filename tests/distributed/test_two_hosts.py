"""Two hosts (network namespaces of this machine, joined by a cable) train as run_distribute_train.sh starts them."""
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.distributed.host_link import SILENCE_SECONDS
from src.distributed.rank_watch import FAILURE_SECONDS
from src.network.checkpoint import read_checkpoint
from tests.words import write_synth_set

pytestmark = pytest.mark.slow
ADDRESSES = ("192.0.2.1", "192.0.2.2")  # for documentation only: nobody has them
TINY = ("--batch_size=4", "--hidden_size=16", "--learning_rate=0.001", "--optimizer=adamw", "--loss_reduction=mean",
        "--per_print_time=1", "--num_parallel_workers=1", "--show_progress=never")
SLACK_SECONDS = 15  # a loaded machine


class TwoHosts:
    """Starts run_distribute_train.sh of a copy of the project on both; they share its folder."""

    def __init__(self, repo: Path, folder: Path):
        self.root, self.data = folder / "repo", folder / "set"
        for name in ("src", "scripts"):
            shutil.copytree(repo / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("train.py", "default_config.yaml"):
            shutil.copy(repo / name, self.root / name)
        write_synth_set(self.data, train=24, test=2)
        self.names = [f"crnn{os.getpid()}host{host}" for host in (0, 1)]
        self.running: list[subprocess.Popen] = []

    def lay_cable(self) -> None:
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.names[1])
        for name, address in zip(self.names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")

    def start(self, *options: str) -> list[subprocess.Popen]:
        """The command of docs/devices.md on each of them."""
        own = {"NODE_NUM": "2", "MASTER_ADDR": ADDRESSES[0], "DEVICE_NUM": "1"}
        self.running += [self.launch(["ip", "netns", "exec", name], {**own, "NODE_RANK": str(host)}, *options)
                         for host, name in enumerate(self.names)]
        return self.running[-2:]

    def launch(self, before: list[str], variables: dict[str, str], *options: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*before, "bash", str(self.root / "scripts" / "run_distribute_train.sh"), "synth", str(self.data), "CPU",
             *options, *TINY], env={**os.environ, "CRNN_PYTHON": sys.executable, **variables}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def processes(self, host: int) -> list[int]:
        done = subprocess.run(["ip", "netns", "pids", self.names[host]], capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    def weights(self, name: str) -> dict[str, np.ndarray]:
        return read_checkpoint(str(self.root / "train_parallel0" / "output" / "ckpt" / name)).values

    def clear(self) -> None:
        for host in (0, 1):
            for pid in self.processes(host):
                os.kill(pid, signal.SIGKILL)
        for process in self.running:
            process.communicate()
        for name in self.names:
            ip("netns", "delete", name)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hosts(repo, tmp_path_factory):
    if shutil.which("ip") is None or os.getuid() != 0:
        pytest.skip("two hosts on one machine need the program ip (package iproute2) and root")
    hosts = TwoHosts(repo, tmp_path_factory.mktemp("hosts"))
    try:
        hosts.lay_cable()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine allows no network namespaces: {error.stderr.decode().strip()}")
    yield hosts
    hosts.clear()


def finish(*processes: subprocess.Popen) -> None:
    for process in processes:
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0, out


def test_the_same_weights_as_one_host_also_when_resumed(hosts):
    options = ("--epoch_size=1", "--save_checkpoint_steps=2")
    finish(hosts.launch([], {"DEVICE_NUM": "2"}, *options))
    expected = hosts.weights("crnn-1_3.ckpt")
    shutil.rmtree(hosts.root / "train_parallel0")
    finish(*hosts.start(*options))
    found = hosts.weights("crnn-1_3.ckpt")
    assert found.keys() == expected.keys() and len(found) > 20
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    checkpoint = shutil.move(hosts.root / "train_parallel0" / "output" / "ckpt" / "crnn-1_2.ckpt", hosts.root.parent)
    shutil.rmtree(hosts.root / "train_parallel0")
    finish(*hosts.start(*options, f"--resume_ckpt={checkpoint}"))
    resumed = hosts.weights("crnn-1_3.ckpt")
    for name, value in expected.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", ["killed", "cut off"])
def test_the_death_of_one_ends_the_other_in_time(hosts, how, lost):
    for rank in (0, 1):
        shutil.rmtree(hosts.root / f"train_parallel{rank}", ignore_errors=True)
    processes = hosts.start("--epoch_size=1000")
    log, until = hosts.root / "train_parallel0" / "log.txt", time.monotonic() + 600
    while not (log.exists() and "epoch: 2 step: 1" in log.read_text()):
        assert time.monotonic() < until and all(process.poll() is None for process in processes)
        time.sleep(0.2)
    began = time.monotonic()
    if how == "killed":
        for pid in hosts.processes(lost):
            os.kill(pid, signal.SIGKILL)
    else:
        ip("-n", hosts.names[lost], "link", "set", "cable", "down")
    limit = (0 if how == "killed" else SILENCE_SECONDS) + FAILURE_SECONDS
    try:
        out, _ = processes[1 - lost].communicate(timeout=limit + SLACK_SECONDS)
        print(f"host {lost} {how}: the other ended after {time.monotonic() - began:.1f} s;",
              next(line for line in out.splitlines() if line.startswith("error")))
        assert processes[1 - lost].returncode == 2, out
        assert f"error: host {lost} " in out or "another rank does not answer" in out
        if how == "cut off":  # it sees the other one gone as well
            out, _ = processes[lost].communicate(timeout=limit + SLACK_SECONDS)
            assert processes[lost].returncode == 2, out
    finally:
        ip("-n", hosts.names[lost], "link", "set", "cable", "up")
    assert not hosts.processes(1 - lost)
