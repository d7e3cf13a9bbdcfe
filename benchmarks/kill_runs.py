"""Kills training runs with SIGKILL at random moments, resumes each from its newest checkpoint, and counts what is lost.

    python benchmarks/kill_runs.py [--kills 100] [--seed 1] [--ranks 1] [--seconds 3]

A tiny network trains on drawn words with a checkpoint every 3 steps and an evaluation after every epoch, by turns with
threads and with processes that load the images. Every fifth kill falls into the start of the program, the others up to
--seconds after its first step. With two ranks the launcher or any process that came from it is killed. After each kill
everything that came from the program must end by itself, /dev/shm must hold what it held before, and the next start
must resume. A process that loads images and has nothing to do just then is not missed: training makes a new one when it
needs it. If such a one was killed and two more epochs pass, that is counted, and the launcher is killed as well.
"""
import argparse
import contextlib
import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from src.distributed.processes import descendants, is_running  # noqa: E402
from tests.words import write_synth_set  # noqa: E402

SAVE_STEPS, BATCH, WORDS = 3, 4, 24
STEP = re.compile(r"^epoch: (\d+) step: (\d+), loss is", re.MULTILINE)
START_SECONDS, END_SECONDS = 400, 120
ON_WITHOUT_IT = ", and the run went on without it"
_PR_SET_CHILD_SUBREAPER = 36


class Failure(Exception):
    """Something that a kill must not lead to."""


def newest(folder: Path) -> tuple[int, Path | None]:
    """The last step that has a checkpoint, counted over the run, and the file."""
    steps_per_epoch = WORDS // BATCH
    found = [((int(match[1]) - 1) * steps_per_epoch + int(match[2]), path) for path in folder.glob("crnn-*.ckpt")
             if (match := re.fullmatch(r"crnn-(\d+)_(\d+)\.ckpt", path.name))]
    return max(found, default=(0, None))


def command(data: Path, output: Path, ranks: int, loader: str) -> list[str]:
    """The command of a run; one rank trains with BATCH images, several share them."""
    words = [f"--train_dataset_path={data}", f"--train_eval_dataset_path={data}", f"--output_dir={output}",
             f"--batch_size={BATCH // ranks}", f"--save_checkpoint_steps={SAVE_STEPS}", f"--loader={loader}",
             "--device_target=CPU", "--train_dataset=synth", "--train_eval_dataset=synth", "--run_eval=True",
             "--eval_start_epoch=1", "--epoch_size=1000", "--hidden_size=16", "--per_print_time=1",
             "--keep_checkpoint_max=3", "--optimizer=adamw", "--learning_rate=0.001", "--show_progress=never",
             "--num_parallel_workers=2"]
    step, path = newest(output / "ckpt")
    if path is not None:
        words.append(f"--resume_ckpt={path}")
    program = [sys.executable, str(ROOT / "train.py"), *words]
    if ranks == 1:
        return program
    return [sys.executable, "-m", "src.distributed.launch", "--launcher=msrun", f"--folder={output}/rank",
            "--share_cores", "--", *program, "--run_distribute=True"]


def kill_once(number: int, data: Path, output: Path, ranks: int, seconds: float,
              rng: random.Random) -> tuple[int, str]:
    """Starts or resumes the run and kills it; returns the steps lost and what was killed."""
    before, memory = newest(output / "ckpt")[0], set(os.listdir("/dev/shm"))
    log = output / f"log_{number}.txt"
    with open(log, "wb") as file:
        process = subprocess.Popen(command(data, output, ranks, rng.choice(("threads", "processes"))), cwd=ROOT,
                                   stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, "DEVICE_NUM": str(ranks)})
    if number % 5 == 4:
        time.sleep(rng.uniform(0, 15))
    else:
        until = time.monotonic() + START_SECONDS
        while not STEP.search(log.read_text(errors="replace")) and process.poll() is None:
            if time.monotonic() > until:
                raise Failure(f"no step within {START_SECONDS} s, see {log}")
            time.sleep(0.1)
        time.sleep(rng.uniform(0, seconds))
    if process.poll() is not None:
        raise Failure(f"it ended by itself with code {process.returncode}: {log.read_text(errors='replace')[-1500:]}")
    family = descendants()
    victim = rng.choice(family) if ranks > 1 and rng.random() < 0.5 else process.pid
    is_loader = victim != process.pid and was_forked(victim)
    what = "the program" if victim == process.pid else f"a part of it, {command_of(victim)}"
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(process.pid, signal.SIGKILL)
    if not has_ended(process, log, may_go_on=is_loader):
        what += ON_WITHOUT_IT
        family += descendants()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    until = time.monotonic() + END_SECONDS
    while any(map(is_running, family)):
        if time.monotonic() > until:
            raise Failure(f"processes that do not end: {[pid for pid in family if is_running(pid)]}")
        time.sleep(0.2)
        reap()
    left = set(os.listdir("/dev/shm")) - memory
    if left:
        raise Failure(f"left in /dev/shm: {sorted(left)}")
    text = log.read_text(errors="replace")
    steps = STEP.findall(text)
    if steps and before and "resumed from" not in text:
        raise Failure(f"it did not resume, see {log}")
    done = max([(int(epoch) - 1) * (WORDS // BATCH) + int(step) for epoch, step in steps], default=before)
    return max(done - newest(output / "ckpt")[0], 0), what


def has_ended(process: subprocess.Popen, log: Path, may_go_on: bool) -> bool:
    """Waits for the end of a run, a part of which was killed.

    Args:
        process: of the run.
        log: what it prints.
        may_go_on: the part was one that the run may do without.

    Returns:
        False where it may go on, and has gone on for two epochs.

    Raises:
        Failure: neither came within ``END_SECONDS``; everything has been killed then.
    """
    until, before = time.monotonic() + END_SECONDS, len(STEP.findall(log.read_text(errors="replace")))
    while time.monotonic() < until:
        if process.poll() is not None:
            return True
        steps = len(STEP.findall(log.read_text(errors="replace"))) - before
        if may_go_on and steps >= 2 * WORDS // BATCH:
            return False
        time.sleep(0.2)
    text = log.read_text(errors="replace")
    for pid in (process.pid, *descendants()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    raise Failure(f"it went on for {END_SECONDS} s, {len(STEP.findall(text)) - before} steps: {text[-1500:]}")


def was_forked(pid: int) -> bool:
    """Whether a process runs the command line of its parent, as those that load images do."""
    try:
        parent = psutil.Process(pid).parent()
        return parent is not None and psutil.Process(pid).cmdline() == parent.cmdline()
    except psutil.Error:
        return False


def command_of(pid: int) -> str:
    """Number, command line and name of a process, for people."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        return f"{pid}, {' '.join(words)[:60]} ... {Path(f'/proc/{pid}/comm').read_text().strip()}"
    except OSError:
        return f"{pid}, which has just ended"


def reap() -> None:
    """Takes note of processes that have come to us and ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> int:
    """Kills as often as asked; returns 1 at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ranks", type=int, default=1, choices=(1, 2))
    parser.add_argument("--seconds", type=float, default=3, help="longest time between a first step and the kill")
    options = parser.parse_args()
    # What loses its parent becomes ours, so that nothing can hide.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    rng = random.Random(options.seed)
    print(machine_line(), flush=True)
    lost: list[int] = []
    went_on = 0
    with tempfile.TemporaryDirectory(prefix="crnn-kills-") as folder:
        data, output = write_synth_set(Path(folder, "set"), train=WORDS), Path(folder, "run")
        output.mkdir()
        for number in range(options.kills):
            try:
                steps, what = kill_once(number, data, output, options.ranks, options.seconds, rng)
            except Failure as failure:
                print(f"kill {number + 1}: {failure}")
                return 1
            lost.append(steps)
            went_on += what.endswith(ON_WITHOUT_IT)
            print(f"kill {number + 1}: {what}; {steps} steps lost, newest checkpoint at step "
                  f"{newest(output / 'ckpt')[0]}", flush=True)
            if steps > SAVE_STEPS:
                print(f"more than save_checkpoint_steps {SAVE_STEPS} lost")
                return 1
    print(f"{len(lost)} kills of {options.ranks} rank(s): every start resumed; at most {max(lost)} steps lost, a "
          f"checkpoint every {SAVE_STEPS}; no process left, nothing left in /dev/shm; {went_on} runs went on without a "
          "process that loads images and had nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
