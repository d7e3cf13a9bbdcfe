"""Trains the network with and without a change of the recipe, with several seeds, and counts the words read right.

    python benchmarks/compare_recipes.py --data FOLDER --output FOLDER [--arms plain focal ...] [--seeds 1 2]

Arms: plain is the recipe below; smoothing adds 0.05 times the cross-entropy of each time step against equal shares;
focal weighs a word's loss by (1 - exp(-loss))^2; growing lets the strength of the augmentation grow from light to
strong over the run; hard draws the real words that the first weights misread more often (HARD below).

FOLDER of --data is what tools/prepare_real_words.py writes, with drawn words in train/SYNTH beside train/REAL (see
configs/finetune_wide.yaml). Each training begins with pretrained/crnn_v2_synth.ckpt, goes once through the words, half
of them real, batch 64, AdamW, 5e-4 falling to 0, width 128, and reads all of val at its end. HARD: 15 of 100 images are
such words and 35 any real ones. What was done before is not done again, and a training that was cut off goes on. Prints
a Markdown table: validation words right.
"""
import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.compare_precision import newest_checkpoint, run  # noqa: E402
from benchmarks.machine import machine_line  # noqa: E402

ARMS = ("plain", "smoothing", "focal", "growing", "hard")
START = ROOT / "pretrained" / "crnn_v2_synth.ckpt"
SMOOTHING = 0.05
_RIGHT = re.compile(r"^epoch: \d+, acc: [\d.]+ \((\d+) of (\d+)\)", re.MULTILINE)


def change_recipe(arm: str) -> None:
    """Changes what train.py uses, in this process.

    Args:
        arm: one of ARMS.
    """
    from src.training import setup

    if arm in ("smoothing", "focal"):
        from mindspore import ops

        class Changed(setup.CTCLoss):
            def of_words(self, logits, label, label_length):
                losses, fits = super().of_words(logits, label, label_length)
                if arm == "focal":
                    return losses * (1 - ops.exp(-losses)) ** 2, fits
                even = -ops.log_softmax(logits.astype(losses.dtype), axis=2).mean(axis=2).sum(axis=0)
                return (1 - SMOOTHING) * losses + SMOOTHING * even, fits

        setup.CTCLoss = Changed
    if arm == "growing":
        from dataclasses import fields

        from src.data.augment import PRESETS, Augmenter, Strengths

        seen, images, several, training_data = [0], [1], Augmenter.several, setup.training_data

        def opened(config, *others):
            dataset = training_data(config, *others)
            images[0] = dataset.get_dataset_size() * config.batch_size
            return dataset

        setup.training_data = opened

        def growing(self, group, draws):
            share = min(1, seen[0] / images[0])
            seen[0] += len(group)
            self.strengths = Strengths(**{one.name: (1 - share) * getattr(PRESETS["light"], one.name)
                                          + share * getattr(PRESETS["strong"], one.name) for one in fields(Strengths)})
            return several(self, group, draws)

        Augmenter.several = growing


def write_hard_words(data: Path) -> None:
    """Copies the real training words that the first weights misread into the LMDB train/HARD, where it is not yet."""
    from src.convert.lmdb_writer import LmdbWriter
    from src.dataset import open_source
    from src.recogniser import Recogniser

    folder = data / "train" / "HARD"
    if folder.exists():
        return
    source, reader = open_source("lmdb", str(data / "train" / "REAL"), "train"), Recogniser(START, decoder="greedy")
    images = [source.read(i) for i in range(len(source))]
    hard = [i for i, result in enumerate(reader.read(images)) if result.text != source.text(i).lower()]
    print(f"{len(hard)} of {len(source)} real training words are misread by {START.name}", flush=True)
    writer = LmdbWriter(str(folder), f"hard words of {source.name}")
    for place, i in enumerate(hard):
        writer.add(place, images[i], source.text(i))
    writer.finish()


def measure(options: argparse.Namespace, arm: str, seed: int) -> tuple[int, int]:
    """Validation words right and all of them, of one training, which is done where it is not there yet."""
    folder = options.output.absolute() / f"{arm}_{seed}"
    result = folder / "result.txt"
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        mix = "REAL:0.35,HARD:0.15,SYNTH:0.5" if arm == "hard" else "REAL:0.5,SYNTH:0.5"
        checkpoint = newest_checkpoint(folder / "ckpt")
        begun = [f"--resume_ckpt={checkpoint}"] if checkpoint else [f"--resume_ckpt={START}", "--train_start_epoch=0"]
        if arm == "hard":
            write_hard_words(options.data)
        said = run([__file__, f"--child={arm}", "--config_path=configs/finetune_wide.yaml",
                    f"--train_dataset_path={options.data.absolute() / 'train'}", f"--train_mix={mix}",
                    f"--train_eval_dataset_path={options.data.absolute() / 'val'}", f"--output_dir={folder}",
                    f"--seed={seed}", "--batch_size=64", "--device_target=CPU", "--loader=threads",
                    "--show_progress=never", "--keep_checkpoint_max=1", *options.train, *begun], folder / "all.log")
        result.write_text(" ".join(_RIGHT.findall(said)[-1]) + "\n", encoding="utf-8")
    right, words = map(int, result.read_text(encoding="utf-8").split())
    return right, words


def main(argv: list[str] | None = None) -> int:
    """Trains and evaluates all arms; prints the table, a seed as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER",
                        help="words to train on and to validate with")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the trainings go")
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--train", nargs="+", default=[], metavar="OPTION",
                        help="more options of train.py, without their dashes, such as amp=bf16")
    options = parser.parse_args(argv)
    options.train = [f"--{option}" for option in options.train]
    print(machine_line(("mindspore", "numpy")), flush=True)
    print(f"| seed | {' | '.join(options.arms)} | of |\n|---|{'---|' * len(options.arms)}---|", flush=True)
    for seed in options.seeds:
        results = [measure(options, arm, seed) for arm in options.arms]
        print(f"| {seed} | {' | '.join(str(right) for right, _ in results)} | {results[0][1]} |", flush=True)
    return 0


def child(arm: str) -> None:
    """train.py with a changed recipe; what is left on the command line are its options."""
    import train
    from src.training import program

    set_up_context = program.set_up_context

    def set_up(*given, **named):
        said = set_up_context(*given, **named)
        change_recipe(arm)  # which loads MindSpore
        return said

    program.set_up_context = set_up
    train.run_main(train.main)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("--child="):
        child(sys.argv.pop(1).partition("=")[2])
    sys.exit(main())
