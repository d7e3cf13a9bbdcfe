"""Exports a checkpoint as MINDIR, AIR or ONNX; every file is loaded again and compared before it is kept."""
import numpy as np

from src.common.errors import ConfigError, run_main
from src.data.image_files import find_images
from src.model_utils.config import Config, load_config


def main(argv: list[str] | None = None) -> int:
    """Exports as configured; returns the exit code."""
    config = load_config(argv, description="Export a CRNN checkpoint as MINDIR, AIR or ONNX.")
    # Not at the top: --help waits for none of these, and the context must be set up before MindSpore is imported.
    from src.deploy.targets import no_air, read_formats
    from src.model_utils.context import set_up_context
    from src.model_utils.moxing_adapter import modelarts
    with modelarts(config, checkpoint_key="" if config.checkpoint_path else "ckpt_file"):
        formats = read_formats(config)
        calibration = calibration_paths(config) if config.quantize != "none" else []
        print(set_up_context(config, own_operators=False), flush=True)
        if "AIR" in formats and config.device_target != "Ascend":
            raise ConfigError(no_air(config.device_target))
        from src.deploy.exporter import Exporter
        Exporter(config).write(formats, calibration)
    return 0


def calibration_paths(config: Config) -> list[str]:
    """The images to calibrate on, evenly spread over those in ``config.calibration_path``.

    Raises:
        DataError: there is none.
    """
    paths = find_images((config.calibration_path,))
    chosen = np.unique(np.linspace(0, len(paths) - 1, config.calibration_images).astype(int))
    return [paths[i] for i in chosen]


if __name__ == "__main__":
    run_main(main)
