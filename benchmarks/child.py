"""Measured processes: starting them, asking them for turns, and saying how one ended that failed."""
import contextlib
import subprocess


def reason(status: int, errors: str = "") -> str:
    """How a process ended: its exit status, and the last line of its errors if it wrote any."""
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    lines = errors.strip().splitlines()
    return f"{how}: {lines[-1]}" if lines else how


def output_of(name: str, command: list[str], seconds: float | None = None) -> str:
    """Runs a program and returns its standard output.

    Args:
        name: for messages.
        command: its command line.
        seconds: it may take; None: as many as it wants.

    Raises:
        SystemExit: it failed, or took longer.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"error: {name} took more than {seconds:g} s; try again when the machine is less busy") \
            from None
    if done.returncode:
        raise SystemExit(f"error: {name} failed, {reason(done.returncode, done.stderr)}")
    return done.stdout


def tell(process: subprocess.Popen, what: str = "go") -> None:
    """Tells a worker to run a turn; one that has died is noticed when its answer is read."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{what}\n")
        process.stdin.flush()


def answer_of(name: str, process: subprocess.Popen, hint: str = "") -> str:
    """Reads a line that a worker writes.

    Raises:
        SystemExit: it has ended instead.
    """
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"error: {name} ended, {reason(process.wait())}{hint}")
    return line.rstrip("\n")


def end(process: subprocess.Popen, seconds: float = 60.0) -> None:
    """Lets a worker end by closing its standard input, and kills it where that does not help."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
