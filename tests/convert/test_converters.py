"""What every converter must stand: a full disk, being cut off anywhere, and labels with any character."""
import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from scipy.io import savemat

import src.common.files
import src.convert.conversion
import src.convert.lmdb_writer
from src.common.errors import DataError
from src.dataset import SOURCES, open_source
from tests.convert.test_convert_iiit5k import char_bound
from tests.convert.test_convert_svt import box, image
from tests.convert.test_convert_synthtext import corners
from tests.convert.test_convert_synthtext import make as make_synthtext
from tests.words import write_synth_set

WORDS = [f"Word{i}" for i in range(8)]
STRANGE = ["a/b", "../../x", '"quoted"', "it's", "漢字", "naïve", "1,5", "x" * 300, "a.,", "..", "-", "٣٣٣"]
SPACED = ["two words", 'say "so" now', "x\u2028y"]


def pixels(number, side=40):
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)


def escape(word):
    return word.replace("&", "&amp;").replace("<", "&lt;")


def photographs(folder, words, xml_file, big):
    """One photograph a word; number ``big`` is a large one."""
    (folder / "img").mkdir(parents=True)
    entries = []
    for i, word in enumerate(words):
        side = 400 if i == big else 40
        cv2.imwrite(str(folder / f"img/{i}.png"), pixels(i, side))
        entries.append(image(f"img/{i}.png", box(0, 0, side, side, escape(word))))
    (folder / xml_file).write_text(f'<?xml version="1.0" encoding="utf-8"?><tagset>{"".join(entries)}</tagset>',
                                   encoding="utf-8")
    return ["-d", str(folder), "-x", xml_file]


def svt(folder, words, big=-1):
    return photographs(folder, words, "test.xml", big)


def ic03(folder, words, big=-1):
    return photographs(folder, words, "words.xml", big)


def iiit5k(folder, words, big=-1):
    rows = [(f"test/{i}.png", word) for i, word in enumerate(words)]
    mat = char_bound(folder, rows)
    for i, (name, _) in enumerate(rows):
        cv2.imwrite(str(folder / name), pixels(i, 400 if i == big else 40))
    return ["-m", mat]


def synthtext(folder, words, big=-1):
    scenes = [(f"1/{i}.png", [word], [corners(0, 0, 40, 40)]) for i, word in enumerate(words)]
    arguments = make_synthtext(folder, scenes)
    for i in range(len(words)):
        cv2.imwrite(str(folder / f"1/{i}.png"), pixels(i, 400 if i == big else 40))
    if big >= 0:
        scenes[big] = (*scenes[big][:2], [corners(0, 0, 400, 400)])
        cells = {key: np.empty((1, len(scenes)), object) for key in ("imnames", "wordBB", "txt")}
        for i, (name, texts, boxes) in enumerate(scenes):
            cells["imnames"][0, i], cells["txt"][0, i] = name, np.array(texts)
            cells["wordBB"][0, i] = np.array(boxes, np.float32).transpose(1, 2, 0)[:, :, 0]
        savemat(folder / "gt.mat", cells)
    return [*arguments[:2], "-f", "png"]


def synthtext_lmdb(folder, words, big=-1):
    return [*synthtext(folder, words, big), "--lmdb"]


def lmdb(folder, words, big=-1):
    (folder / "i").mkdir(parents=True)
    for i in range(len(words)):
        cv2.imwrite(str(folder / f"i/{i}.png"), pixels(i, 400 if i == big else 40))
    (folder / "annotation.txt").write_text("".join(f"i/{i}.png\t{word}\n" for i, word in enumerate(words)),
                                           encoding="utf-8")
    return ["-d", "iiit5k", "-p", str(folder), "--workers", "1"]


@dataclass
class Converter:
    program: str
    dataset: str
    make: Callable
    spaces: bool = True

    def main(self, arguments):
        return importlib.import_module(self.program).main(arguments)

    def words(self, path):
        source = open_source(self.dataset, str(path), "train")
        found = [(source.text(i), cv2.imdecode(np.frombuffer(source.read(i), np.uint8), 1).tobytes())
                 for i in range(len(source))]
        if self.dataset == "lmdb":
            source.close()
        return found


CONVERTERS = {
    "svt": Converter("convert_svt", "svt", svt), "ic03": Converter("convert_ic03", "ic03", ic03),
    "iiit5k": Converter("convert_iiit5k", "iiit5k", iiit5k),
    "synthtext": Converter("convert_synthtext", "synth", synthtext, spaces=False),
    "synthtext_lmdb": Converter("convert_synthtext", "lmdb", synthtext_lmdb, spaces=False),
    "lmdb": Converter("convert_lmdb", "lmdb", lmdb),
}


@pytest.fixture(params=CONVERTERS)
def converter(request):
    return CONVERTERS[request.param]


def expected(words, big=-1):
    return [(word, pixels(i, 400 if i == big else 40).tobytes()) for i, word in enumerate(words)]


def test_labels_with_any_character(tmp_path, converter):
    words = STRANGE + SPACED * converter.spaces
    arguments = converter.make(tmp_path / "in", words)
    before = {path for path in tmp_path.rglob("*")}
    assert converter.main([*arguments, "-o", str(tmp_path / "a/out")]) == 0
    assert converter.words(tmp_path / "a/out") == expected(words)
    new = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path not in before}
    assert all(name.startswith("a") and name.isascii() and len(name) < 99 and not set(name) & set("'\" ,") for name
               in new)


def test_full_disk_in_the_middle(tmp_path, repo, converter, monkeypatch):
    """A limit on the size of files stands for the disk: writing fails in the operating system, half-way."""
    arguments = [*converter.make(tmp_path / "in", WORDS, big=5), "-o", str(tmp_path / "out")]
    code = ("import resource, sys, src.convert.lmdb_writer as w; w._BATCH_SAMPLES = 1\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            f"import {converter.program} as c; from src.common.errors import run_main; run_main(c.main)")
    full = subprocess.run([sys.executable, "-c", code, *arguments], cwd=repo, capture_output=True, text=True,
                          timeout=120)
    errors = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert full.returncode == 2 and len(errors) == 1 and "Traceback" not in full.stderr, full.stderr
    assert ("data.mdb cannot be written" if converter.dataset == "lmdb" else "File too large") in errors[0]
    assert not list(tmp_path.rglob(".part-*")), "no half-written file stays"
    with pytest.raises(DataError):
        converter.words(tmp_path / "out")
    assert converter.main(arguments) == 0 and converter.words(tmp_path / "out") == expected(WORDS, 5)


def test_cut_off_at_any_write_and_run_again(tmp_path, converter, monkeypatch):
    """However far it came, what is there is told to be unfinished, and the next run makes it whole."""
    monkeypatch.setattr(src.convert.lmdb_writer, "_BATCH_SAMPLES", 2)
    arguments = converter.make(tmp_path / "in", WORDS)
    module = importlib.import_module(converter.program)
    real, write, limit, count = src.common.files.replacing, src.convert.lmdb_writer.LmdbWriter._write, 0, 0

    def tick():
        nonlocal count
        count += 1
        if count > limit:
            raise KeyboardInterrupt

    monkeypatch.setattr(src.common.files, "replacing", lambda *a: (tick(), real(*a))[1])
    monkeypatch.setattr(src.convert.lmdb_writer.LmdbWriter, "_write", lambda *a: (tick(), write(*a)))
    while True:
        out, count = tmp_path / f"out{limit}", 0
        try:
            module.main([*arguments, "-o", str(out)])
            break
        except KeyboardInterrupt:
            with pytest.raises(DataError):
                converter.words(out)
        keep, limit, count = limit, 999, 0
        assert module.main([*arguments, "-o", str(out)]) == 0 and converter.words(out) == expected(WORDS), keep
        limit = keep + 1
    assert limit > 4 and converter.words(out) == expected(WORDS)


def test_a_finished_set_is_not_broken_by_a_refused_conversion(tmp_path):
    """Also not for the reader: the set that was there stays usable."""
    converter, out = CONVERTERS["svt"], tmp_path / "out"
    assert converter.main([*converter.make(tmp_path / "in", WORDS), "-o", str(out)]) == 0
    with pytest.raises(DataError, match="already holds other words"):
        converter.main([*converter.make(tmp_path / "in2", ["other"]), "-o", str(out)])
    assert [word for word, _ in converter.words(out)] == WORDS
    with pytest.raises(DataError, match="none of its words"):
        converter.main([*converter.make(tmp_path / "in3", [" "]), "-o", str(out)])
    with pytest.raises(DataError, match="svt: .*out holds an unfinished conversion: run its converter again"):
        converter.words(out)


@pytest.mark.parametrize("kind", [name for name in SOURCES if name not in ("lmdb", "mlt")])
def test_an_lmdb_from_any_data_set(tmp_path, kind):
    write_synth_set(tmp_path / "set", train=9, val=0, test=0)
    lines = (tmp_path / "set/annotation_train.txt").read_text().split()
    (tmp_path / "set/annotation.txt").write_text("".join(f"{name}\t{WORDS[i % 8]}\n" for i, name in
                                                         enumerate(lines[::2])))
    assert CONVERTERS["lmdb"].main(["-d", kind, "-p", str(tmp_path / "set"), "-o", str(tmp_path / "out")]) == 0
    source, packed = open_source(kind, str(tmp_path / "set"), "train"), open_source("lmdb", str(tmp_path / "out"), "")
    assert len(packed) == 9
    for i in range(9):
        assert packed.text(i) == source.text(i) and packed.read(i) == source.read(i)


def test_strict_stops_at_the_first(tmp_path, converter):
    arguments = converter.make(tmp_path / "in", WORDS)
    broken = next((tmp_path / "in").rglob("3.png"))
    broken.write_text("no image")
    with pytest.raises(DataError, match="3.png"):
        converter.main([*arguments, "-o", str(tmp_path / "strict"), "--strict"])
    assert converter.main([*arguments, "-o", str(tmp_path / "out")]) == 3
    assert [word for word, _ in converter.words(tmp_path / "out")] == [word for word in WORDS if word != "Word3"]
    lines = (tmp_path / "out/report.txt").read_text().splitlines()
    assert len(lines) == 1 and "3.png" in lines[0] and "not a readable image" in lines[0]
