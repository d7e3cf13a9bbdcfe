"""Trains the character language model that the beam decoder can use, from any list of words."""
import argparse
import sys
from pathlib import Path

from src.common.charset import Charset
from src.common.errors import ConfigError, run_main
from src.common.files import keep_apart
from src.model_utils.config import configured
from src.reading.model_training import train_model
from src.reading.word_list import read_words

_DESCRIPTION = "Train a character n-gram language model for the beam decoder from word lists."
_EPILOG = """example:
  python train_language_model.py words.txt -o words.lm
A word list is UTF-8 text, one word a line; a word listed twice counts twice. Every 20th word is first held back to
measure the perplexity on words the model has not seen; the saved model is then trained on all of them."""
_HOLD_BACK = 20


def main(argv: list[str] | None = None) -> int:
    """Trains as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+", help="word lists")
    parser.add_argument("-o", "--output", required=True, help="file of the model")
    parser.add_argument("--order", type=int, default=6, help="n of the n-grams (default: %(default)s)")
    parser.add_argument("--label_dict", default=None,
                        help="the network's characters, or their file (default: that of default_config.yaml)")
    args = parser.parse_args(argv)

    keep_apart(args.output, args.words)
    charset = Charset.from_config(configured().label_dict if args.label_dict is None else args.label_dict)
    words = [word for path in args.words for word in read_words(path)]
    folder = Path(args.output).parent
    if not folder.is_dir():
        raise ConfigError(f"{args.output}: the folder {folder} does not exist; create it or choose another --output")
    model, left_out = train_model(words, charset, args.order)
    outside = set(left_out)
    held_back = {word for word in words if word not in outside}
    held_back = set(sorted(held_back)[::_HOLD_BACK])
    seen = [word for word in words if word not in held_back and word not in outside]
    if seen:
        trial, _ = train_model(seen, charset, args.order)
        print(f"perplexity per character: {trial.perplexity(held_back):.3f} on {len(held_back)} words held back, "
              f"{trial.perplexity(seen):.3f} on the {len(seen)} others")
    model.save(args.output)
    if left_out:
        print(f"{len(left_out)} words were left out: empty, or with characters outside the charset (such as "
              f"{', '.join(map(repr, left_out[:5]))})")
    print(f"{args.output}: order {args.order}, {len(words) - len(left_out)} words, "
          f"{Path(args.output).stat().st_size / 1e6:.2f} MB")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    run_main(main)
