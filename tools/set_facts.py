"""Changes what the files of a trained network say about it: the width of long images, the temperature."""
import argparse
import sys
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import CheckpointError, ConfigError, run_main
from src.common.files import write_bytes
from src.deploy import checksum
from src.deploy.metadata import ModelInfo
from src.deploy.onnx.graph import to_bytes

_DESCRIPTION = """Writes facts anew into checkpoints (.ckpt) and ONNX files (.onnx) in their place, with new checksums.
The weights stay bit for bit. A file of one width cannot have a width for long images."""


def change_checkpoint(path: str, facts: dict[str, int | float]) -> None:
    """Writes a checkpoint again with other facts.

    Raises:
        CheckpointError: it cannot be read, or the facts do not go with the others.
    """
    from src.network.checkpoint import read_checkpoint, write_arrays  # lazily: MindSpore takes seconds

    checkpoint = read_checkpoint(path)
    info = {**checkpoint.info, **facts}
    if facts.get("long_width") and (info.get("keep_ratio") or facts["long_width"] <= info.get("image_width", 0)):
        raise CheckpointError(f"{path}: long_width {facts['long_width']} must be more than its image_width, "
                              f"{info.get('image_width')}, and does not go with keep_ratio")
    write_arrays(path, checkpoint.values, info)


def change_onnx(path: str, facts: dict[str, int | float]) -> None:
    """Writes an ONNX file again with other facts.

    Raises:
        CheckpointError: it is damaged or none of export.py, has one width, or the facts do not go with the others.
    """
    fault = checksum.ONNX.find_fault(path)
    if fault:
        raise CheckpointError(fault)
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's own class for most files, others for some
        raise CheckpointError(f"{path} is not an ONNX file, or it is damaged; export it again") from error
    properties = {item.key: item.value for item in model.metadata_props}
    if "label_dict" not in properties:
        raise CheckpointError(f"{path} has no metadata of export.py; export it again")
    width = model.graph.input[0].type.tensor_type.shape.dim[3].dim_value
    if width and facts.get("long_width"):
        raise CheckpointError(f"{path} takes images of one width, {width}: long_width {facts['long_width']} needs a "
                              "file of any width, which export.py writes with --export_width=dynamic")
    ModelInfo.from_mapping({**properties, **facts}, path)  # an error where they do not go together
    kept = {key: value for key, value in properties.items() if key not in (*checksum.ONNX.entries, *facts)}
    onnx.helper.set_model_props(model, {**kept, **{key: str(value) for key, value in facts.items()}})
    write_bytes(path, to_bytes(model))


def main(argv: list[str] | None = None) -> int:
    """Changes the files as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("files", nargs="+", metavar="FILE", help="checkpoint (.ckpt) or ONNX file (.onnx)")
    parser.add_argument("--long_width", type=int, default=None, help="width of long images in pixels; 0: as all others")
    parser.add_argument("--temperature", type=float, default=None, help="of the confidence, see fit_temperature.py")
    args = parser.parse_args(argv)
    facts = {name: value for name in ("long_width", "temperature") if (value := getattr(args, name)) is not None}
    if not facts:
        raise ConfigError("nothing to change: give --long_width or --temperature")
    if not 0 < facts.get("temperature", 1) < float("inf") or not 0 <= facts.get("long_width", 0) <= 4096:
        raise ConfigError("--temperature must be above 0, --long_width 0 or more, at most 4096")
    for path in args.files:
        if not path.endswith((".ckpt", ".onnx")):
            raise ConfigError(f"{path}: the name must end in .ckpt or .onnx")
        if not Path(path).is_file():
            raise CheckpointError(f"{path} does not exist")
        (change_onnx if path.endswith(".onnx") else change_checkpoint)(path, facts)
        print(f"{path}: {', '.join(f'{name} {value:g}' for name, value in facts.items())}")
    return 0


if __name__ == "__main__":
    run_main(main)
