"""Exports a checkpoint as MINDIR, AIR or ONNX; every file is loaded again and compared before it is kept."""
import sys

from src.common.errors import ConfigError, run_main
from src.deploy.targets import no_air, read_formats
from src.model_utils.config import load_config


def main(argv: list[str] | None = None) -> int:
    """Exports as configured; returns the exit code."""
    config = load_config(argv, description="Export a CRNN checkpoint as MINDIR, AIR or ONNX.")
    # Not at the top: --help waits for none of these, and the context must be set up before MindSpore is imported.
    from src.data.image_files import choose_evenly, find_images
    from src.model_utils.context import set_up_context
    from src.model_utils.moxing_adapter import modelarts
    with modelarts(config, checkpoint_key="" if config.checkpoint_path else "ckpt_file"):
        formats = read_formats(config)
        if set(formats) == {"ONNX"} and config.device_target in ("GPU", "Ascend"):
            print(f"note: an ONNX file is made without a device; the {config.device_target} that was asked for is not "
                  "used", file=sys.stderr, flush=True)
            config.device_target = "CPU"
        calibration = (choose_evenly(find_images((config.calibration_path,)), config.calibration_images)
                       if config.quantize != "none" else [])
        print(set_up_context(config, own_operators=False), flush=True)
        if "AIR" in formats and config.device_target != "Ascend":
            raise ConfigError(no_air(config.device_target))
        from src.deploy.exporter import Exporter
        Exporter(config).write(formats, calibration)
    return 0


if __name__ == "__main__":
    run_main(main)
