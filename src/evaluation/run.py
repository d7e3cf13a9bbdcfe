"""An evaluation as the configuration asks for it, with any network: the body of eval.py and eval_onnx.py."""
import contextlib
import os
import sys
from collections.abc import Sequence

from src.common.charset import Charset, normalise
from src.common.errors import DataError
from src.common.files import keep_apart
from src.common.progress import Progress
from src.convert.genuine import converted, genuine_file
from src.data.embedded import fill_in_data
from src.dataset import create_dataset
from src.distributed.ranks import ALONE, Ranks, share_of_cores
from src.evaluation.loop import evaluate
from src.evaluation.predictions import PredictionFile
from src.metric import EvalResult
from src.model_utils.config import Config
from src.reading.reading import Forward, Reading
from src.reading.selection import Decoding, choose_decoder


def run_evaluation(config: Config, forward: Forward, charset: Charset, network: str,
                   ranks: Ranks = ALONE) -> EvalResult:
    """Reads ``config.eval_dataset`` (or the embedded words) and prints what was found, but for the last two lines.

    Args:
        config: the options; data set and decoder.
        forward: the network.
        charset: its classes.
        network: line that says which network it is.
        ranks: the processes that share the words.

    Raises:
        DataError: the data cannot be read, or not one image of it.
    """
    ranks.in_turn(lambda: fill_in_data(config, "eval_dataset"))
    ranks.in_turn(lambda: _convert_genuine(config))
    dataset = create_dataset(config.eval_dataset, config.eval_dataset_path, config.batch_size, ranks.size, ranks.rank,
                             is_training=False, config=config, cores=share_of_cores(ranks))
    decoding = choose_decoder(config, charset, dataset.source)
    print(f"{network}\ndata: {config.eval_dataset} {config.eval_dataset_path}\n"
          f"{dataset.report.summary()}\n{decoding.description}", flush=True)
    progress = Progress(int(ranks.total(dataset.num_samples)[0]), "reading",
                        enabled=config.show_progress != "never" and ranks.is_first)
    writes = config.save_predictions and ranks.is_first
    if writes:
        keep_apart(config.save_predictions, [config.checkpoint_path, config.lexicon, config.language_model,
                                             config.eval_dataset_path])
    with PredictionFile(config.save_predictions) if writes else contextlib.nullcontext() as file:

        def show(references: Sequence[str], truths: Sequence[str], readings: Sequence[Reading]) -> None:
            if config.print_predictions:
                progress.clear()
                for truth, reading, reference in zip(truths, readings, references, strict=True):
                    truth, text = normalise(truth, charset), normalise(reading.text, charset)
                    print(f"{'   ' if truth == text else 'x  '}prediction: {text} , truth: {truth} , "
                          f"confidence: {reading.confidence:.3f} , {reference}")
            if file:
                file.add(references, truths, readings)
            progress.update(len(readings))

        result = evaluate(forward, dataset, decoding, charset, show, ranks)
    progress.close()
    if not result.total:
        raise DataError(f"no image of {config.eval_dataset_path} could be read")
    corrupted = sum(ranks.gather(dataset.corrupted), [])
    if corrupted:
        print(f"{len(corrupted)} images could not be read and are not counted: {', '.join(corrupted[:5])}")
    squeezed = int(ranks.total(dataset.squeezed)[0])
    if squeezed:
        print(f"keep_ratio: {squeezed} images were too wide for the largest of bucket_widths, "
              f"{dataset.spec.largest_width}, and were squeezed to it")
    for line in [*lexicon_report(decoding, ranks), *([f"predictions: {file.path}"] if file else [])]:
        print(line)
    low, high = result.interval
    print(f"word accuracy: {100 * result.accuracy:.2f} % (95 % interval {100 * low:.2f} to {100 * high:.2f}), "
          f"1-NED: {result.one_minus_ned:.4f}, CER: {result.cer:.4f}, calibration error (ECE): {result.ece:.4f}",
          flush=True)
    return result


def _convert_genuine(config: Config) -> None:
    """Points the evaluation to a conversion of its set where that is as its authors publish it."""
    file, note = genuine_file(config.eval_dataset, config.eval_dataset_path)
    if note:
        print(f"note: {config.eval_dataset_path}: {note}", file=sys.stderr)
    if file:
        folder, notes = converted(file, os.path.join(config.output_dir, "converted"))
        print(f"note: {config.eval_dataset_path}: {'; '.join(notes)}, in {folder}", file=sys.stderr)
        config.eval_dataset_path = folder


def lexicon_report(decoding: Decoding, ranks: Ranks) -> list[str]:
    """What could not be used of the lexicons, over the images of all ranks; lines for people."""
    if ranks.is_alone:
        return decoding.report()
    if decoding.tally:
        decoding.tally.add_up(ranks.gather(decoding.tally.counts()))
    return decoding.report(f"(of the images of rank {ranks.rank})")
