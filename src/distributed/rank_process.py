"""Runs the program of one rank: in its own folder, with its own log, and tells the launcher how it ended.

src/distributed/launch.py makes msrun, mpirun or itself start this once for each rank. Needs only Python's standard
library, and imports nothing of the project: any Python may run it.
"""
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

# What the launcher tells us by the environment.
FOLDER_VARIABLE = "CRNN_LAUNCH_FOLDER"  # working folders are this and the rank
STATE_VARIABLE = "CRNN_LAUNCH_STATE"  # folder for the file that tells how we are
PID_VARIABLE = "CRNN_LAUNCH_PID"  # process of the launcher
SHARE_VARIABLE = "CRNN_LAUNCH_SHARE_CORES"  # number of ranks on this host to share its cores with; unset: no sharing
DEVICES_VARIABLE = "CRNN_LAUNCH_DEVICES"  # numbers of the devices of this host by rank; unset: as the launcher says
RANKS_VARIABLE = "CRNN_LAUNCH_RANK_VARIABLES"  # names of those that may hold our rank
SCHEDULER = "_scheduler"
ORPHAN_SECONDS = 60
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


def name_of_this_process() -> str:
    """The rank as text, or ``_scheduler`` for the process that msrun starts on top."""
    if os.environ.get("MS_ROLE") == "MS_SCHED":
        return SCHEDULER
    names = os.environ.get(RANKS_VARIABLE, "").split()
    for name in names:
        if os.environ.get(name):
            return os.environ[name]
    sys.exit(f"rank_process.py: none of the variables {', '.join(names)} is set; start scripts/run_distribute_train.sh")


def open_log(folder: str) -> int:
    """Opens log.txt in a folder and keeps the log of the run before; returns the file descriptor."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "log.txt")
    if os.path.exists(path):
        os.replace(path, os.path.join(folder, "log.previous.txt"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)


def take_share_of_cores(name: str) -> None:
    """Keeps to our share of the cores: otherwise every rank makes a thread for each core, and they slow each other."""
    ranks, cores = int(os.environ.get(SHARE_VARIABLE) or 0), sorted(os.sched_getaffinity(0))
    if 1 < ranks <= len(cores) and name != SCHEDULER:
        rank = int(name) % ranks
        os.sched_setaffinity(0, cores[rank * len(cores) // ranks:(rank + 1) * len(cores) // ranks])


def take_device(name: str) -> None:
    """Sets ``DEVICE_ID`` to our device where the launcher has a list of them."""
    devices = os.environ.get(DEVICES_VARIABLE, "").split()
    if devices and name != SCHEDULER:
        os.environ["DEVICE_ID"] = devices[int(name) % len(devices)]


def write_state(name: str, **state) -> None:
    """Writes our state for the launcher, in one piece; a folder that is gone means that nobody wants to know."""
    path = os.path.join(os.environ[STATE_VARIABLE], name)
    try:
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), **state}, file)
        os.replace(path + ".new", path)
    except FileNotFoundError:
        pass


def launcher_lives() -> bool:
    """Whether the launcher is still there to look after us."""
    try:
        os.kill(int(os.environ[PID_VARIABLE]), 0)
    except ProcessLookupError:
        return False
    return True


def main(command: list[str]) -> int:
    """Runs the program to its end; returns its exit code, 128 + n after signal n."""
    name = name_of_this_process()
    received: list[int] = []
    children: list[subprocess.Popen] = []

    def hand_on(number, frame):
        received.append(number)
        for child in children:
            child.send_signal(number)

    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, hand_on)
    try:
        child = start(command, name)
    except OSError as error:
        print(f"error: rank_process.py cannot start {command[0]}: {error}", flush=True)
        write_state(name, code=127, ended=time.monotonic())
        return 127
    children.append(child)
    for early in list(received):  # came before there was somebody to hand it to
        child.send_signal(early)
    write_state(name)
    code = wait(child)
    code = 128 - code if code < 0 else code
    write_state(name, code=code, ended=time.monotonic())
    # mpirun would answer any other code by killing the other ranks, which are still ending cleanly.
    return 0 if received else code


def start(command: list[str], name: str) -> subprocess.Popen:
    """Starts the program in its folder, writing to its log."""
    folder = os.environ[FOLDER_VARIABLE] + name
    log = open_log(folder)
    os.dup2(log, 1)  # what we have to say ourselves
    os.dup2(log, 2)
    take_share_of_cores(name)
    take_device(name)
    prctl = ctypes.CDLL(None).prctl
    return subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=folder, stdin=subprocess.DEVNULL,
                            stdout=log, stderr=log, preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))


def wait(child: subprocess.Popen) -> int:
    """Waits for the program; ends it when the launcher is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # to be waited for instead
    while launcher_lives():
        if child.poll() is not None:
            return child.returncode
        signal.sigtimedwait([signal.SIGCHLD], 1)
    child.terminate()
    try:
        return child.wait(timeout=ORPHAN_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
