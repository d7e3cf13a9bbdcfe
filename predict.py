"""Reads word images: `python predict.py IMAGE|FOLDER ...` prints path, text and confidence, a line for each image."""
import os
import sys

from src.common.errors import run_main
from src.common.system import loading
from src.model_utils.config import load_config

# The groups and keys this program knows, in the order of its --help.
USES = ("Prediction", "Reading", "ONNX file", "checkpoint_path", "batch_size", "device_target", "device_id",
        "cpu_operators", "precision", "show_progress", "Network")


def main(argv: list[str] | None = None) -> int:
    """Reads the images; returns 1 when some of them could not be read."""
    # numpy's own threads would take half of a short run's CPU time to start, and multiply next to nothing here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with loading():
        config = load_config(argv, description="Read word images, each cut out around one word, with a trained CRNN. "
                             "- reads one image from standard input.", positional="IMAGE|FOLDER|- ...", uses=USES,
                             refuses_others=True)
        if config.find_words:
            from src.prediction.photographs import predict_photographs as run  # after the options: --help is quick
        else:
            from src.prediction.run import predict as run  # the same
    return run(config, sys.stdin.buffer)


if __name__ == "__main__":
    run_main(main, at_once=True)
