"""Exports a checkpoint as MINDIR, AIR or ONNX; every file is loaded again and compared before it is kept."""
from src.common.errors import run_main
from src.model_utils.config import load_config


def main(argv: list[str] | None = None) -> int:
    """Exports as configured; returns the exit code."""
    config = load_config(argv, description="Export a CRNN checkpoint as MINDIR, AIR or ONNX.")
    from src.deploy.program import run  # after the options, so that --help is quick

    return run(config)


if __name__ == "__main__":
    run_main(main)
