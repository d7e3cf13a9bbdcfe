"""Exports a checkpoint as MINDIR, AIR or ONNX; every file is loaded again and compared before it is kept."""
from src.common.errors import run_main
from src.model_utils.config import load_config

# The groups and keys this program uses, in the order of its --help.
USES = ("Export", "checkpoint_path", "temperature", "device_target", "device_id", "Network", "ModelArts")


def main(argv: list[str] | None = None) -> int:
    """Exports as configured; returns the exit code."""
    config = load_config(argv, description="Export a CRNN checkpoint as MINDIR, AIR or ONNX.", uses=USES)
    from src.deploy.program import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
