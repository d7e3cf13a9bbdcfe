"""Writes any data set as one LMDB in the layout of deep-text-recognition-benchmark, for `--train_dataset lmdb`."""
import argparse

from src.common.errors import run_main
from src.convert.lmdb_set import LmdbOptions, convert_lmdb
from src.data.protocol import PROTOCOLS
from src.dataset import SOURCES

_DESCRIPTION = """Writes a data set as an LMDB: image-000000001 (the bytes of the file as they are), label-000000001,
..., num-samples, and the lexicons where the set has some. Interrupted, it goes on where it was when run again."""
_EPILOG = """Images that cannot be decoded are left out and listed in OUTPUT_DIR/report.txt. Lexicons become the keys
lexicon-000000001 (the "50" of each image), lexicon-1k-000000001 and lexicon-full, which --lexicon=50|1k|full reads and
other tools pass over.
Exit code 0: all words written; 3: some are left out; 2: error."""


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-d", "--dataset", required=True, choices=list(SOURCES), help="kind of the data set")
    parser.add_argument("-p", "--dataset_path", required=True, help="folder of the data set")
    parser.add_argument("-o", "--output_dir", required=True, help="folder of the LMDB")
    parser.add_argument("-s", "--split", choices=["train", "val", "test"], default="train",
                        help="which one, where a folder holds several (default: %(default)s)")
    parser.add_argument("--image_folder", default="",
                        help="what the paths in a list of images are relative to (default: it is looked for)")
    parser.add_argument("--mlt_scripts", default="", help="scripts of mlt to write, with commas (default: all)")
    parser.add_argument("--eval_protocol", choices=["standard", "whole", *PROTOCOLS], default="whole",
                        help="write only the words that count in a benchmark's protocol (default: %(default)s)")
    parser.add_argument("--no_check", action="store_true",
                        help="do not look whether the images can be decoded: twice as fast")
    parser.add_argument("--workers", type=int, default=0, help="threads that read; 0: one for each core")
    parser.add_argument("--strict", action="store_true", help="stop at the first image that cannot be decoded")
    parser.add_argument("--overwrite", action="store_true", help="begin anew where there is an LMDB already")
    args = parser.parse_args(argv)
    return convert_lmdb(LmdbOptions(args.dataset, args.dataset_path, args.output_dir, args.split, args.eval_protocol,
                                    not args.no_check, args.workers, args.strict, args.overwrite, args.image_folder,
                                    args.mlt_scripts))


if __name__ == "__main__":
    run_main(main)
