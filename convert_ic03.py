"""Cuts the words of the genuine IC03 out of its photographs, for `--eval_dataset ic03` and `--train_dataset ic03`."""
import argparse

from convert_svt import run
from src.common.errors import run_main
from src.convert.photographs import convert_ic03

_DESCRIPTION = """Cuts the words of ICDAR 2003 (SceneTrialTest or SceneTrialTrain) out of its photographs, as words.xml
says. The output folder is a data set for --eval_dataset and --train_dataset ic03."""
_EPILOG = """Beside annotation.txt stand protocol_860.txt, the crops that the standard protocol counts (860 of the
whole test set: at least 3 characters, all of them letters or digits), and lexicon_full.txt, their distinct words, which
is the "Full" lexicon. The "50" lexicons are no part of the data set; put as lexicon_50.txt (one crop a line: its path,
then its words, separated by tabs) they are read.
Exit code 0: all words converted; 3: some are left out, listed in report.txt; 2: error."""


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    return run(parser, argv, "words.xml", "ic03", convert_ic03)


if __name__ == "__main__":
    run_main(main)
