"""Makes a MINDIR that MindSpore Lite 2.0.0 loads, from a checkpoint or from a MINDIR of MindSpore 2.8 to 2.10."""
import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import ConfigError, run_main

_DESCRIPTION = """Makes a MINDIR that the CPU runtime of MindSpore Lite 2.0.0 loads.

From a checkpoint (.ckpt, .npz) the network is exported with its LSTMs unrolled, because Lite's LSTM operator is wrong
at batch 1; from a MINDIR file the operators are rewritten one by one, and one without a rule is an error. Beside the
result lies its JSON file, which tells the characters and the image size."""


def main(argv: list[str] | None = None) -> int:
    """Writes the file as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="checkpoint or MINDIR file")
    parser.add_argument("target", help="MINDIR file to write")
    parser.add_argument("--batch", type=int, default=None,
                        help="images per call (default: free, the C++ program then chooses with --batch_size)")
    parser.add_argument("--width", type=int, default=None,
                        help="width of the images in pixels (default: that of the checkpoint, or 100)")
    parser.add_argument("--label_dict", default=None,
                        help="the characters, or a file with one a line (default: that of the checkpoint, or a-z0-9)")
    args = parser.parse_args(argv)
    for name in ("batch", "width"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be at least 1")

    from src.model_utils.device_adapter import apply_cpu_cap

    apply_cpu_cap()
    os.environ.setdefault("GLOG_v", "3")  # loading the file again, MindSpore warns of its age, which is on purpose
    if args.source.endswith(".mindir"):
        if (args.batch, args.width, args.label_dict) != (None, None, None):
            raise ConfigError("--batch, --width and --label_dict belong to a checkpoint; a MINDIR file has its own")
        from src.deploy.metadata import copy_sidecar, sidecar_path
        from src.deploy.mindir.lite import rewrite_file
        from src.deploy.targets import written

        target = Path(args.target)
        with written(target) as partial:
            rewrite_file(args.source, partial)
        if sidecar_path(args.source).is_file():
            copy_sidecar(args.source, target)
    else:
        import mindspore as ms

        from src.deploy.mindir.lite_export import export_for_lite

        if ms.get_context("device_target") != "CPU":  # a process that has computed before may not choose again
            ms.set_device("CPU")
        ms.set_context(mode=ms.GRAPH_MODE)
        target = export_for_lite(args.source, args.target, args.batch, args.width, args.label_dict)
    print(target)
    return 0


if __name__ == "__main__":
    run_main(main)
