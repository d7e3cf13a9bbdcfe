"""Writing a synthetic data set in the MJSynth layout: in parallel, reproducibly, and resumed after an interruption."""
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from src.common.errors import ConfigError, DataError
from src.common.files import FileLock, write_lines, write_text, writing
from src.common.progress import Progress
from src.common.system import available_cores
from src.render.case import uppered
from src.render.fonts import find_fonts
from src.render.layout import Chunk, chunks
from src.render.pool import DONE, jobs_of, run_jobs
from src.render.renderer import WordRenderer
from src.render.style import RenderStyle
from src.render.words import SPLITS, WordPlan, plan_words

GENERATOR = 2  # raise it whenever the same parameters draw other images
COMPLETE = "synth.json"
STARTED = "synth.part.json"
_OURS = ("annotation.txt", *(f"annotation_{split}.txt" for split in SPLITS), "lexicon.txt", COMPLETE, STARTED)


def write_synth(folder: str | os.PathLike[str], train: int = 0, val: int = 0, test: int = 0,
                words: Sequence[str] | None = None, style: RenderStyle | None = None, seed: int = 1, workers: int = 0,
                progress: bool = True, *, fonts: Sequence[str] | None = None, random_strings: bool = False,
                digits_ratio: float = 0.1, codes_ratio: float = 0.0, min_length: int = 1, max_length: int = 23,
                disjoint: bool = True, scene_lengths: bool = True, overwrite: bool = False) -> dict[str, object]:
    """Draws a data set in the MJSynth layout.

    An image depends on the parameters, the fonts and its number in its split, not on ``workers``. ``synth.json`` is
    written last: a set with it and equal parameters is left as it is, one that was interrupted is resumed.

    Args:
        folder: where to; made if missing.
        train: number of training images.
        val: number of validation images.
        test: number of test images.
        words: lexicon, ``None`` for the English word list of the project.
        style: strengths, ``None`` for the ``easy`` preset.
        seed: of all choices, 0 to 2**63 - 1.
        workers: number of processes, 0 for one a core.
        progress: whether to show how far it is.
        fonts: folders of fonts, ``None`` as :func:`find_fonts` does.
        random_strings: random strings instead of a lexicon.
        digits_ratio: share of images that show a number.
        codes_ratio: share of images that show what is in no dictionary, see :func:`plan_words`.
        min_length: shortest word drawn.
        max_length: longest word drawn.
        disjoint: no word of one split is in another one.
        scene_lengths: word lengths as frequent as in photographs; otherwise every word is equally likely.
        overwrite: replace a set in ``folder`` that was drawn with other parameters.

    Returns:
        What ``synth.json`` holds: parameters, number of images and words of each split, words left out, fonts.

    Raises:
        ConfigError: a parameter is out of range.
        DataError: no usable words or fonts, or the folder holds something else.
        OSError: writing failed.
    """
    if workers < 0:
        raise ConfigError(f"--workers must be 0 or more, not {workers}")
    style = style or RenderStyle.preset("easy")
    counts = {"train": train, "val": val, "test": test}
    plan = plan_words(words, counts, seed=seed, random_strings=random_strings, digits_ratio=digits_ratio,
                      codes_ratio=codes_ratio, min_length=min_length, max_length=max_length, disjoint=disjoint,
                      scene_lengths=scene_lengths)
    style = replace(style, turkish=plan.turkish)
    parameters: dict[str, object] = {
        "generator": GENERATOR, "seed": seed, **counts, "style": style.to_dict(), "lexicon_sha256": _hash(plan.lexicon),
        "random_strings": random_strings, "digits_ratio": digits_ratio,
        "codes_ratio": codes_ratio, "min_length": min_length, "max_length": max_length,
        "disjoint": disjoint, "scene_lengths": scene_lengths,
        "fonts": None if fonts is None else [str(item) for item in fonts]}
    root = Path(folder)
    if found := _drawn(root, parameters):  # such a set may lie where nothing can be written, not even a lock
        return found
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root):
        return (_drawn(root, parameters)
                or _write(root, plan, parameters, style, fonts, workers, progress, overwrite))


def _drawn(root: Path, parameters: dict[str, object]) -> dict[str, object] | None:
    """What ``synth.json`` holds where the set is complete and was drawn with these parameters."""
    found = _read(root / COMPLETE)
    return found if found is not None and _same(found.get("parameters"), parameters) else None


def _same(old: object, new: dict[str, object]) -> bool:
    """Whether a set was drawn with equal parameters.

    Strengths that its style does not name did not exist then: whether they matter is what ``GENERATOR`` tells.
    """
    if not isinstance(old, dict) or not isinstance(old.get("style"), dict):
        return False
    style = {key: value for key, value in new["style"].items() if key in old["style"]}
    return old == {**new, "style": style}


def _write(root: Path, plan: WordPlan, parameters: dict[str, object], style: RenderStyle, fonts: Sequence[str] | None,
           workers: int, progress: bool, overwrite: bool) -> dict[str, object]:
    faces = find_fonts(fonts, clean=style.clean_fonts)
    seed = int(parameters["seed"])
    characters = set("".join(plan.lexicon))
    characters.update(*(uppered(character, style.turkish) for character in characters))
    renderer = WordRenderer(style, faces, seed)
    missing = renderer.undrawable("".join(sorted(characters)))
    if missing:
        raise DataError(f"no font can draw the characters {missing!r} of the lexicon: name a folder of fonts that has "
                        "them with --fonts, or leave such words out")
    for word in plan.lexicon:
        renderer.check(word)
    counts = {split: len(plan.rows[split]) for split in SPLITS}
    report: dict[str, object] = {
        "parameters": parameters, "images": counts, "words": plan.words, "left_out": plan.left_out,
        "fonts": [face.name for face in faces]}
    todo = _prepare(root, report, list(chunks(counts)), overwrite)
    bar = Progress(sum(counts.values()), f"drawing {style.name} words", "img", enabled=progress)
    bar.skip(sum(counts.values()) - sum(chunk.count for chunk in todo))
    with bar:
        processes = max(1, min(workers or available_cores(), len(todo)))
        run_jobs(style, faces, seed, root, jobs_of(todo, plan.lexicon, plan.rows), processes, bar.update)
        _finish(root, plan, report, counts)
    return report


def _prepare(root: Path, report: dict[str, object], folders: list[Chunk], overwrite: bool) -> list[Chunk]:
    """Decides what is left to draw: all of it, or the folders that an interrupted run has not finished."""
    started = _read(root / STARTED)
    if started == report:
        return [chunk for chunk in folders if not (root / str(chunk.folder) / DONE).is_file()]
    if any((root / name).exists() for name in _OURS):
        mine = (root / COMPLETE).exists() or (root / STARTED).exists()
        if not mine:
            raise DataError(f"{root} holds a data set that was not drawn by this program: choose another folder")
        if not overwrite:
            raise DataError(f"{root} holds a set drawn with other parameters or fonts: choose another folder, or "
                            "replace it with --overwrite")
        _clear(root)
    _write_json(root / STARTED, report)
    return folders


def _clear(root: Path) -> None:
    """Removes a set that this program drew: its files and numbered folders, nothing else."""
    # The markers go first, so that a set that is half removed is not taken for a whole one.
    for name in (COMPLETE, *_OURS):
        (root / name).unlink(missing_ok=True)
    for item in root.iterdir():
        if item.is_dir() and item.name.isdecimal():
            shutil.rmtree(item)


def _finish(root: Path, plan: WordPlan, report: dict[str, object], counts: dict[str, int]) -> None:
    """Writes lexicon and annotations, marks the set as complete and removes the working files."""
    write_lines(root / "lexicon.txt", plan.lexicon)
    folders = list(chunks(counts))
    for split in SPLITS:
        _write_parts(root / f"annotation_{split}.txt", _lines(root, [item for item in folders if item.split == split]))
    _write_parts(root / "annotation.txt", _lines(root, folders))
    _write_json(root / COMPLETE, report)
    (root / STARTED).unlink()
    for chunk in folders:
        (root / str(chunk.folder) / DONE).unlink(missing_ok=True)


def _lines(root: Path, folders: list[Chunk]) -> Iterator[str]:
    for chunk in folders:
        yield (root / str(chunk.folder) / DONE).read_text(encoding="ascii")


def _write_parts(path: Path, parts: Iterator[str]) -> None:
    with writing(path) as file:
        file.writelines(parts)


def _write_json(path: Path, value: dict[str, object]) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, object] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _hash(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _lock(root: Path) -> FileLock:
    """Lets one process at a time draw into a folder; another one waits, and then finds the set complete."""
    return FileLock(str(root / ".synth.lock"))
