"""The run of export.py: sets MindSpore up, then writes the files."""
import sys

from src.common.errors import ConfigError
from src.data.image_files import choose_evenly, find_images
from src.deploy.targets import no_air, read_formats
from src.model_utils.config import Config
from src.model_utils.context import set_up_context
from src.model_utils.moxing_adapter import modelarts


def run(config: Config) -> int:
    """Exports as configured; returns the exit code.

    Raises:
        CRNNError: an option or the checkpoint cannot be used, or a file differs from the checkpoint.
    """
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
        from src.deploy.exporter import Exporter  # MindSpore comes after the context
        Exporter(config).write(formats, calibration)
    return 0
