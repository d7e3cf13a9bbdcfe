"""Cuts the words of the genuine IC03 out of its photographs, for `--eval_dataset ic03` and `--train_dataset ic03`."""
import argparse

from convert_svt import add_arguments, convert
from src.common.errors import run_main
from src.convert.conversion import write_lines
from src.convert.tagset import TaggedImage
from src.data.protocol import plain_from_three
from src.data.source import companion

_DESCRIPTION = """Cuts the words of ICDAR 2003 (SceneTrialTest or SceneTrialTrain) out of its photographs, as words.xml
says. The output folder is a data set for --eval_dataset and --train_dataset ic03."""
_EPILOG = """Beside annotation.txt stand protocol_860.txt, the crops that the standard protocol counts (860 of the
whole test set: at least 3 characters, all of them letters or digits), and lexicon_full.txt, their distinct words, which
is the "Full" lexicon. The "50" lexicons are no part of the data set; put as lexicon_50.txt (one crop a line: its path,
then its words, separated by tabs) they are read.
Exit code 0: all words converted; 3: some are left out, listed in report.txt; 2: error."""


def write_protocol(annotation: str, words: dict[str, str], photographs: dict[str, TaggedImage]) -> None:
    """Writes the list of the words that count, and the "Full" lexicon made of them."""
    del photographs
    kept = {path: word for path, word in words.items() if plain_from_three(word)}
    write_lines(companion(annotation, "protocol_860"), kept)
    # One spelling of each word: the lexicon is compared without case.
    full = {word.lower(): word for word in reversed(kept.values())}
    write_lines(companion(annotation, "lexicon_full"), reversed(full.values()))
    print(f"{companion(annotation, 'protocol_860')}: {len(kept)} words count; lexicon_full: {len(full)} words")


def main(argv: list[str] | None = None) -> int:
    """Converts as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, "words.xml")
    return convert(parser.parse_args(argv), "ic03", True, write_protocol)


if __name__ == "__main__":
    run_main(main)
