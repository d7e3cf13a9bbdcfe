"""The run of benchmark.py: every set that is found is read once, and the report is written."""
import json
import os
import platform
import sys
from datetime import datetime

import onnxruntime

from src.common.errors import ConfigError, DataError
from src.common.files import write_text
from src.common.progress import Progress
from src.evaluation.predictions import PredictionFile
from src.model_utils.config import Config
from src.reading.selection import choose_decoder
from src.recogniser import Recogniser
from src.report.discovery import FoundSet, convert, find_sets
from src.report.gallery import collect_errors
from src.report.html import to_html
from src.report.markdown import to_markdown
from src.report.measure import Measured, measure
from src.report.published import read_published
from src.report.summary import summarise


def benchmark(config: Config) -> int:
    """Evaluates as configured; returns 1 where no set was found.

    Raises:
        ConfigError: options that do not go together, or a place that cannot be.
    """
    output = config.output_dir if config.is_given("output_dir") else os.path.join(config.output_dir, "benchmark")
    _check(config, output)
    discovery = find_sets(config.data_root, leave_out=output)
    recogniser = Recogniser.from_config(config, onnx_comes_along=False)
    facts, published = facts_of(config, recogniser), read_published()
    config.eval_protocol = "whole"  # every protocol is counted from the one reading
    measured = []
    for found in discovery.sets:
        try:
            measured.append(_read(found, config, recogniser, os.path.join(output, "converted")))
        except DataError as error:
            discovery.skipped[found.place] = str(error)
            discovery.unreadable |= dict.fromkeys(found.keys, str(error))
            print(f"warning: {found.place}: {error}", file=sys.stderr)
            continue
        one = measured[-1]
        with PredictionFile(os.path.join(output, "predictions", f"{len(measured):02d}_{one.main}.tsv")) as file:
            file.add(map(one.source.reference, one.index), map(one.source.text, one.index), one.readings)
    report = summarise(measured, discovery.skipped, published, recogniser.charset, facts, discovery.unreadable)
    errors, error_count = collect_errors(measured, recogniser.charset, config.gallery_images)
    files = {"results.json": json.dumps(report, indent=1, ensure_ascii=False) + "\n", "results.md": to_markdown(report),
             "report.html": to_html(report, errors, error_count)}
    write(output, files)
    table = files["results.md"].partition("\n## Averages")[0]
    print(table[table.index("| set |"):])
    print("\n".join(os.path.join(output, name) for name in files))
    if not measured:
        print(f"error: none of the {len(discovery.sets)} benchmark sets under {config.data_root} can be read"
              if discovery.sets else f"error: no benchmark set was found under {config.data_root}", file=sys.stderr)
    return 0 if measured else 1


def _check(config: Config, output: str) -> None:
    """Refuses options that do not go together, and places that cannot be."""
    if config.lexicon.strip().lower() not in ("", "none") or config.decoder == "lexicon":
        raise ConfigError("benchmark.py reads with all lexicons that lie beside the sets; leave lexicon and decoder "
                          "lexicon out")
    if config.data_root and _inside(output, config.data_root):
        raise ConfigError(f"output_dir {output} is inside data_root {config.data_root}, where nothing is written; "
                          "choose another")
    if config.lexicon_50k and not os.path.isfile(config.lexicon_50k):
        raise ConfigError(f"lexicon_50k {config.lexicon_50k} does not exist; give a file with one word a line, or a "
                          "Hunspell .dic file")


def _read(found: FoundSet, config: Config, recogniser: Recogniser, converted: str) -> Measured:
    """Converts a set into a folder where it needs that, and reads it; see :func:`src.report.measure.measure`."""
    convert(found, converted)
    with Progress(0, f"reading {found.dataset} in {found.place}", enabled=config.show_progress != "never") as progress:
        def step(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.done)

        return measure(found, config, recogniser.network, recogniser.charset, step)


def facts_of(config: Config, recogniser: Recogniser) -> dict[str, str]:
    """What heads the report: the network, the data, and what computes."""
    facts = {"date": datetime.now().astimezone().isoformat(timespec="seconds"), "computed by": recogniser.description}
    if config.onnx_file:
        facts["computed by"] = f"onnxruntime {onnxruntime.__version__} on {config.device_target}"
    facts["network"] = os.path.basename(config.onnx_file or config.checkpoint_path)
    facts["file"] = config.onnx_file or config.checkpoint_path
    facts["network version"] = (f"{config.model_version}, {recogniser.charset.class_num} classes, width "
                                f"{config.image_width}")
    facts["data"] = config.data_root
    facts["software"] = f"Python {platform.python_version()} on {platform.machine()}"
    facts["decoder without lexicon"] = choose_decoder(config, recogniser.charset).description
    if config.temperature != 1.0:
        facts["temperature of the confidence"] = str(config.temperature)
    return facts


def write(folder: str, files: dict[str, str]) -> None:
    """Writes the files, each complete or not at all."""
    for name, text in files.items():
        write_text(os.path.join(folder, name), text)


def _inside(path: str, folder: str) -> bool:
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder
