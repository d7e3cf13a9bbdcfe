"""train.py that kills itself: after a step, or in the middle of writing a checkpoint. Prints every loss in full."""
import json
import os
import signal
import sys
from pathlib import Path

import mindspore as ms

import train
from src.model_utils.callback import TrainMonitor


def main(step: int, while_writing: bool, options: list[str]) -> None:
    """Trains up to a step counted over this process's part of the run."""
    note, save = TrainMonitor.on_step_end, ms.save_checkpoint
    done = []

    def on_step_end(self, epoch, number, result):
        done.append(result.loss)
        print(json.dumps([epoch, number, result.loss]), flush=True)
        note(self, epoch, number, result)
        if len(done) == step and not while_writing:
            os.kill(os.getpid(), signal.SIGKILL)

    def save_checkpoint(content, path, **rest):
        save(content, path, **rest)
        if len(done) == step and while_writing:
            os.chmod(path, 0o600)
            os.truncate(path, Path(path).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    TrainMonitor.on_step_end, ms.save_checkpoint = on_step_end, save_checkpoint
    train.main(options)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] == "writing", sys.argv[3:])
