"""Chooses lm_weight and length_bonus of the beam decoder on drawn words, so that no benchmark is looked at.

    python benchmarks/tune_beam.py --checkpoint_path X.ckpt --words lexicon.txt [--images 1000]

Words of the list are drawn with the hard preset and read. The language model is trained on the list without half of the
drawn words, because some words of a benchmark are in any list and some are not; the table shows both halves.
"""
import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.machine import machine_line  # noqa: E402
from src.common.charset import normalise  # noqa: E402
from src.common.errors import run_main  # noqa: E402
from src.metric import evaluate_readings  # noqa: E402
from src.reading.beam import BeamDecoder  # noqa: E402
from src.reading.greedy import GreedyDecoder  # noqa: E402
from src.reading.language_model import CharacterModel  # noqa: E402
from src.reading.word_list import read_words  # noqa: E402

WEIGHTS, BONUSES = (0.1, 0.2, 0.3, 0.4, 0.5), (0.0, 0.5, 0.75, 1.0, 1.5)


def read_drawn(checkpoint: str, words: list[str], images: int, seed: int):
    """Logits (T, N, C) of drawn words, their texts and the charset."""
    from src.model_utils.config import load_config
    config = load_config([f"--checkpoint_path={checkpoint}"])
    from src.model_utils.context import set_up_context
    set_up_context(config, own_operators=True)
    from src.dataset import create_dataset
    from src.network.trained import load_trained
    from src.render import RenderStyle, write_synth
    forward, charset = load_trained(config, 64)
    with tempfile.TemporaryDirectory() as folder:
        write_synth(folder, test=images, words=words, style=RenderStyle.preset("hard"), seed=seed, progress=False)
        batches = list(create_dataset("synth", folder, 64, is_training=False, config=config))
        logits = np.concatenate([forward(batch.image) for batch in batches], axis=1)
    return logits, [text for batch in batches for text in batch.text], charset


def main(argv: list[str] | None = None) -> int:
    """Prints the table and the best pair; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint_path", required=True, help="network to read with")
    parser.add_argument("--words", required=True, help="word list, one a line, as MJSynth's lexicon.txt")
    parser.add_argument("--images", type=int, default=1000, help="words to draw (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=77, help="of the drawing (default: %(default)s)")
    args = parser.parse_args(argv)
    machine = machine_line(("mindspore", "numpy", "pillow", "opencv-python-headless"))
    words = read_words(args.words)
    logits, texts, charset = read_drawn(args.checkpoint_path, words, args.images, args.seed)
    keys = np.array([normalise(text, charset) for text in texts])
    unknown = set(np.random.default_rng(5).permutation(np.unique(keys))[::2].tolist())
    model, _ = CharacterModel.train([word for word in words if normalise(word, charset) not in unknown], charset)
    known = np.array([key not in unknown for key in keys])

    def row(name: str, decoder) -> tuple[float, float]:
        readings = decoder(logits)
        right = np.array([normalise(r.text, charset) for r in readings]) == keys
        cer = evaluate_readings(texts, readings, charset).cer
        print(f"| {name} | {100 * right.mean():.1f} | {100 * right[known].mean():.1f} | "
              f"{100 * right[~known].mean():.1f} | {cer:.4f} |", flush=True)
        return right.mean(), -cer

    print(f"{machine}\n{len(texts)} drawn words (seed {args.seed}), {int(known.sum())} of them known to the model; one "
          "run, the same every time with the same fonts\n\n"
          "| decoder | all % | known % | unknown % | CER |\n|---|---|---|---|---|")
    row("greedy", GreedyDecoder(charset))
    row("beam 10, no model", BeamDecoder(charset))
    found = {(weight, bonus): row(f"weight {weight}, bonus {bonus}",
                                  BeamDecoder(charset, language_model=model, lm_weight=weight, length_bonus=bonus))
             for weight in WEIGHTS for bonus in BONUSES}
    weight, bonus = max(found, key=found.get)
    print(f"\nbest: lm_weight {weight}, length_bonus {bonus}")
    return 0


if __name__ == "__main__":
    run_main(main)
