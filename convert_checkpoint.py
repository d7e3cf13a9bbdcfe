"""Weights in and out: MindSpore checkpoint, safetensors, PyTorch; the model zoo's and MindOCR's files; new charsets."""
import argparse

from src.common.errors import run_main
from src.model_utils.versions import check_versions

_DESCRIPTION = """Writes the weights of a trained network into a file of another kind, with what one must know to read
with them (characters, version, image width). The ending of each name says the kind: .ckpt (MindSpore), .safetensors,
.pt or .pth (PyTorch, which must be installed for these). The source may also be .npz, an old V2 file of the model zoo,
or a crnn_vgg7 of MindOCR. The state of the optimizer stays behind: train on with --resume_ckpt and
--train_start_epoch=0."""


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("source", metavar="SOURCE", help="file of weights")
    parser.add_argument("target", metavar="TARGET", help="file to write")
    parser.add_argument("--label_dict", default="", help="give the network these characters (or a file with one a "
                        "line): those it knows keep their rows of the last layer (default: leave them)")
    parser.add_argument("--source_label_dict", default="", help="characters of the source, where its file does not "
                        "tell (default: a-z0-9; of MindOCR's networks 0-9a-z)")
    parser.add_argument("--colours", choices=["rgb", "bgr"], default="rgb", help="what a network of MindOCR was "
                        "trained to take (default: %(default)s, as its configurations say)")
    parser.add_argument("--seed", type=int, default=1, help="of the rows of new characters (default: %(default)s)")
    args = parser.parse_args(argv)
    check_versions()
    from src.network.exchange import Conversion, convert  # after the arguments: MindSpore takes seconds

    return convert(Conversion(args.source, args.target, args.label_dict, args.source_label_dict,
                              args.colours == "rgb", args.seed))


if __name__ == "__main__":
    run_main(main)
