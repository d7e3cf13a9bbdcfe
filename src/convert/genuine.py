"""The test sets of IIIT5K, SVT and IC03 as their authors publish them, converted once into a folder of ours."""
import hashlib
import json
import os

from src.common.files import parse_json, write_text

# A genuine file -> its set.
GENUINE = {"testdata.mat": "iiit5k", "testCharBound.mat": "iiit5k", "test.xml": "svt", "words.xml": "ic03"}
_CONVERTED = ("annotation.txt", "labels.tsv", "annotation_train.txt")


def genuine_file(dataset: str, path: str) -> tuple[str, str]:
    """The file to convert a set from, and a note for people; '' where there is none.

    Args:
        dataset: name of the set.
        path: of a genuine file, or of the folder it lies in. An annotation of ours there is a conversion, and is read
            in its place; that is the note.
    """
    if os.path.isfile(path):
        return (path if GENUINE.get(os.path.basename(path)) == dataset else ""), ""
    there = [os.path.join(path, name) for name, of_set in GENUINE.items() if of_set == dataset]
    file = next((file for file in there if os.path.isfile(file)), "")
    ours = next((name for name in _CONVERTED if os.path.isfile(os.path.join(path, name))), "")
    if file and ours:
        return "", (f"{ours} is read, not {os.path.basename(file)} of the set's authors beside it; to read that one, "
                    f"name it: --eval_dataset_path={file}")
    return file, ""


def converted(file: str, cache: str) -> tuple[str, list[str]]:
    """Converts a genuine set into a folder of the cache, unless that was done before.

    A conversion that had to leave entries out is made again the next time.

    Args:
        file: path of a file called as in ``GENUINE``, its images beside it.
        cache: where conversions go; nothing is written where the set lies.

    Returns:
        The folder of the data set, and what a reader should know of it.

    Raises:
        DataError: it cannot be converted.
    """
    place, name = os.path.split(file)
    dataset = GENUINE[name]
    state = os.stat(file)
    stamp = json.dumps([os.path.realpath(file), state.st_size, state.st_mtime_ns])
    folder = os.path.join(cache, f"{dataset}-{hashlib.sha256(stamp.encode()).hexdigest()[:10]}")
    done = os.path.join(folder, "converted.json")
    notes = _read_notes(done)
    if notes is not None:
        return folder, notes
    # Here, because an ONNX file is evaluated where scipy and defusedxml are not installed.
    from src.convert import iiit5k, photographs

    annotation = os.path.join(folder, "annotation.txt")
    if dataset == "iiit5k":
        report = iiit5k.convert_iiit5k(iiit5k.MatOptions(file, place, folder, annotation, overwrite=True)).report
    else:
        convert = photographs.convert_svt if dataset == "svt" else photographs.convert_ic03
        report = convert(photographs.TagsetOptions(file, place, folder, annotation, overwrite=True)).report
    notes = [f"converted from {name}"]
    if report.finish(os.path.join(folder, "report.txt")):
        first = ": ".join(report.problems[0])
        notes.append(f"{len(report.problems)} entries could not be converted, the first: {first}")
    else:
        write_text(done, json.dumps(notes))
    return folder, notes


def _read_notes(path: str) -> list[str] | None:
    """What a conversion noted at its end; None where it did not come to it, or the file holds something else."""
    try:
        with open(path, "rb") as stream:
            notes = parse_json(stream.read())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return notes if isinstance(notes, list) and all(isinstance(note, str) for note in notes) else None
