"""generate_synth.py and the writing of sets: layout, reproducibility, resuming, bad input."""
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

import generate_synth
from src.common.errors import ConfigError, CRNNError, DataError
from src.data import embedded
from src.data.synth_source import SynthSource
from src.model_utils.config import load_config
from src.render import RenderStyle, WordRenderer, find_fonts, write_synth
from src.render import writer as writer_module

SMALL = {"train": 1040, "val": 30, "test": 60, "seed": 5, "progress": False, "min_length": 2, "max_length": 7}
EASY = RenderStyle.preset("easy")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def lines(folder: Path, name: str) -> list[tuple[str, int]]:
    """An annotation, read as the MJSynth authors describe it."""
    result = []
    for line in (folder / name).read_text().splitlines():
        path, row = line.split(" ")
        result.append((path, int(row)))
    return result


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "one"
    write_synth(folder, workers=1, **SMALL)
    return folder


def test_layout_is_that_of_mjsynth(small):
    lexicon = (small / "lexicon.txt").read_text().splitlines()
    assert lexicon == [word.lower() for word in lexicon] and len(lexicon) == len(set(lexicon))
    everything = []
    for split, count in (("train", 1040), ("val", 30), ("test", 60)):
        annotation = lines(small, f"annotation_{split}.txt")
        assert len(annotation) == count
        everything += annotation
        for path, row in annotation:
            found = re.fullmatch(r"\./\d+/\d+/(\d+)_([^_/ ]+)_(\d+)\.jpg", path)
            assert found and int(found[3]) == row
            assert unquote(found[2]).lower() == lexicon[row]
    assert lines(small, "annotation.txt") == everything
    assert len({path for path, _ in everything}) == 1130
    for path, _ in everything[::25]:
        image = cv2.imdecode(np.fromfile(small / path, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and EASY.height[0] <= image.shape[0] <= EASY.height[1]
    assert sum(1 for path in small.rglob("*.jpg")) == 1130
    assert not [path for path in small.rglob("*") if ".part" in path.name or ".tmp" in path.name]


def test_file_is_what_the_renderer_draws(small):
    path, row = lines(small, "annotation_test.txt")[7]
    renderer = WordRenderer(EASY, find_fonts(clean=True), seed=5)
    word = (small / "lexicon.txt").read_text().splitlines()[row]
    text, data = renderer.encode(word, (2 << 48) + 7)
    assert data == (small / path).read_bytes() and f"_{text}_" in path
    image = renderer.sample([word], (2 << 48) + 7)[1]
    assert np.array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_words_of_the_splits_are_disjoint(small):
    rows = [{row for _, row in lines(small, f"annotation_{split}.txt")} for split in ("train", "val", "test")]
    assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
    report = json.loads((small / "synth.json").read_text())
    assert report["images"] == {"train": 1040, "val": 30, "test": 60}
    assert len(rows[2]) <= report["words"]["test"]


def test_two_workers_draw_the_same_bytes(small, tmp_path):
    write_synth(tmp_path / "two", workers=2, **SMALL)
    assert files(tmp_path / "two") == files(small)


def test_workers_do_not_need_the_callers_folder(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()  # must not be taken for the project's package
    (tmp_path / "src" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    write_synth("set", train=2, test=2, workers=2, progress=False)
    assert len(lines(tmp_path / "set", "annotation.txt")) == 4


def test_second_call_does_nothing(small, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    monkeypatch.setattr(writer_module, "find_fonts", lambda *args, **options: pytest.fail("looked for fonts"))
    report = write_synth(small, workers=1, **SMALL)
    assert report["images"]["train"] == 1040
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before | {
        small / ".synth.lock": (small / ".synth.lock").stat().st_mtime_ns}


def test_a_complete_set_needs_no_writing(small, monkeypatch):
    monkeypatch.setattr(writer_module, "_lock", lambda root: pytest.fail("writes"))
    monkeypatch.setattr(Path, "mkdir", lambda *args, **options: pytest.fail("writes"))
    assert write_synth(small, workers=1, **SMALL) == json.loads((small / "synth.json").read_text())


def test_a_set_that_another_process_drew_meanwhile_is_taken(small, tmp_path, monkeypatch):
    @contextmanager
    def slow(root):
        shutil.copy(small / "synth.json", root)
        yield
    monkeypatch.setattr(writer_module, "_lock", slow)
    monkeypatch.setattr(writer_module, "_write", lambda *args: pytest.fail("draws"))
    assert write_synth(tmp_path, workers=1, **SMALL)["images"]["train"] == 1040


def test_embedded_words_that_cannot_be_drawn(tmp_path, monkeypatch):
    def no_lock(root):
        raise OSError(30, "Read-only file system", str(root / ".synth.lock"))
    monkeypatch.setattr(embedded, "embedded_set", lambda draw=embedded.embedded_set: draw(tmp_path))
    monkeypatch.setattr(writer_module, "_lock", no_lock)
    for kind in ("train_dataset", "eval_dataset"):
        config = load_config([])
        message = (rf"^no {kind}_path given, and the embedded words cannot be drawn into .* \(Read-only file system\): "
                   rf"make that folder writable, or say where the data are \(--{kind}=NAME --{kind}_path=FOLDER\)$")
        with pytest.raises(DataError, match=message):
            embedded.fill_in_data(config, kind)


def test_other_parameters_need_overwrite(tmp_path):
    options = {"progress": False, "workers": 1}
    write_synth(tmp_path, train=1005, **options)
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError, match="--overwrite"):
        write_synth(tmp_path, train=3, **options)
    assert len(lines(tmp_path, "annotation_train.txt")) == 1005
    write_synth(tmp_path, train=3, overwrite=True, **options)
    assert len(lines(tmp_path, "annotation_train.txt")) == 3
    assert len(list(tmp_path.rglob("*.jpg"))) == 3
    assert (tmp_path / "mine.txt").read_text() == "kept" and (tmp_path / "notes").is_dir()


def test_a_strength_added_later_does_not_spoil_a_set(tmp_path):
    options = {"train": 2, "progress": False, "workers": 1}
    write_synth(tmp_path, **options)
    report = json.loads((tmp_path / "synth.json").read_text())
    del report["parameters"]["style"]["clutter"]
    (tmp_path / "synth.json").write_text(json.dumps(report))
    assert write_synth(tmp_path, **options) == report
    report["parameters"]["generator"] += 1
    (tmp_path / "synth.json").write_text(json.dumps(report))
    with pytest.raises(DataError, match="other parameters"):
        write_synth(tmp_path, **options)


def test_sets_of_others_are_never_touched(tmp_path):
    (tmp_path / "annotation_train.txt").write_text("./1/1/1_a_0.jpg 0\n")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="not drawn by this program"):
            write_synth(tmp_path, train=3, progress=False, overwrite=overwrite)
    assert (tmp_path / "annotation_train.txt").read_text() == "./1/1/1_a_0.jpg 0\n"


def test_interrupted_run_is_resumed(small, tmp_path, monkeypatch):
    original = WordRenderer.encode
    drawn = []

    def failing(self, word, index):
        drawn.append(index)
        if len(drawn) == 1010:
            raise KeyboardInterrupt
        return original(self, word, index)

    monkeypatch.setattr(WordRenderer, "encode", failing)
    with pytest.raises(KeyboardInterrupt):
        write_synth(tmp_path, workers=1, **SMALL)
    assert not (tmp_path / "synth.json").exists() and not (tmp_path / "annotation_train.txt").exists()
    with pytest.raises(DataError, match="other parameters"):
        write_synth(tmp_path, workers=1, **(SMALL | {"seed": 6}))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "1").rglob("*.jpg")}
    drawn = [0] * 2000
    write_synth(tmp_path, workers=1, **SMALL)
    assert len(drawn) == 2130  # the second folder again from its start, the first one not
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "1").rglob("*.jpg")} == before
    assert files(tmp_path) == files(small)


def test_errors_of_workers_reach_the_caller(tmp_path):
    (tmp_path / "1").write_text("in the way")
    with pytest.raises(OSError) as caught:
        write_synth(tmp_path, train=1, test=1, workers=2, progress=False)
    assert caught.value.filename and not (tmp_path / "synth.json").exists()


def test_dead_worker_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(CRNNError, match="ended with code 1: run again to resume"):
        write_synth(tmp_path, train=1, test=1, workers=2, progress=False)


def test_unusual_words_get_safe_names(tmp_path):
    words = ["a/b", 'say "hi"', "New York", "under_score", "caf\u00e9", "50%"]
    write_synth(tmp_path, train=12, words=words, workers=1, progress=False, digits_ratio=0)
    lexicon = (tmp_path / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    assert lexicon == ["a/b", 'say "hi"', "new york", "under_score", "caf\u00e9", "50%"]
    for path, row in lines(tmp_path, "annotation_train.txt"):
        assert (tmp_path / path).is_file()
        assert unquote(path.split("/")[-1].split("_")[1]).lower() == lexicon[row]
    with pytest.raises(DataError, match="no font can draw the characters"):
        write_synth(tmp_path / "other", train=2, words=["\u4e2d\u6587"], workers=1, progress=False, digits_ratio=0)


def test_words_that_file_names_have_no_room_for(tmp_path):
    words = ["\u00e9" * 60, "\u00e9" * 59 + "a"]
    write_synth(tmp_path, train=6, words=words, workers=1, progress=False, digits_ratio=0, max_length=60)
    source = SynthSource(str(tmp_path), "train")
    assert {source.text(i) for i in range(6)} == set(words)
    assert all(source.read(i).startswith(b"\xff\xd8") for i in range(6))


def test_random_strings(tmp_path):
    report = write_synth(tmp_path, train=40, test=10, random_strings=True, workers=1, progress=False)
    english = set((Path(writer_module.__file__).parent / "words.txt").read_text().split())
    lexicon = (tmp_path / "lexicon.txt").read_text().splitlines()
    assert sum(word in english for word in lexicon) < 0.5 * len(lexicon)
    assert report["words"]["train"] > report["words"]["test"] > 0


# command line


def run(*arguments: object) -> int:
    return generate_synth.main([str(argument) for argument in arguments])


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (["--lexicon", "nowhere.txt"], DataError, "lexicon .*nowhere.txt does not exist"),
    (["--lexicon", "empty.txt"], DataError, "empty.txt has no word in it"),
    (["--lexicon", "control.txt"], DataError, "control.txt line 2: .*control character"),
    (["--lexicon", "short.txt", "--digits_ratio", "0"], DataError, "too few for 2 splits"),
    (["--fonts", "nofonts"], DataError, "no font with the characters"),
    (["--fonts", "missing"], DataError, "missing does not exist"),
    (["--train", "-1"], ConfigError, "--train must be 0 or more"),
    (["--train", "0", "--test", "0"], ConfigError, "nothing to draw"),
    (["--min_length", "9", "--max_length", "3"], ConfigError, "--min_length 9 is more than --max_length 3"),
    (["--digits_ratio", "2"], ConfigError, "between 0 and 1"),
    (["--workers", "-2"], ConfigError, "--workers"),
    (["--seed", "-3"], ConfigError, "--seed"),
])
def test_bad_input_is_one_sentence(tmp_path, monkeypatch, arguments, error, message):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n\n")
    Path("control.txt").write_text("good\nb\x01d\n")
    Path("short.txt").write_text("only\n")
    Path("nofonts").mkdir()
    with pytest.raises(error, match=message) as caught:
        run("--output_dir", "out", *arguments)
    assert "\n" not in str(caught.value)
    assert not Path("out/synth.json").exists()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError) as caught:
        run("--output_dir", tmp_path / "file" / "set", "--train", 1, "--test", 0)
    assert caught.value.filename


def test_output_is_needed(capsys):
    for arguments in ([], ["--output_dir", "x", "--lexicon", "a", "--random_strings"], ["--difficulty", "brutal"]):
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert caught.value.code == 2
    assert "--contact_sheet" in capsys.readouterr().err


def test_program_as_users_call_it(repo, tmp_path):
    def call(*arguments: object) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, repo / "generate_synth.py", *map(str, arguments)], cwd=tmp_path,
                              capture_output=True, text=True)

    words = tmp_path / "words.txt"
    words.write_text("Alpha\nBeta\nGamma\nalpha\ndelta\nepsilonepsilon\n")
    done = call("--output_dir", "set", "--train", 6, "--test", 2, "--lexicon", words, "--max_length", 8,
                "--difficulty", "easy", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "train: 6 images" in done.stdout and "left out: 1 lexicon words (given twice)" in done.stdout
    assert "left out: 1 lexicon words (not 1 to 8 characters long)" in done.stdout
    assert "\r" not in done.stderr and "100% 8/8" in done.stderr
    assert len(lines(tmp_path / "set", "annotation_train.txt")) == 6
    failed = call("--output_dir", "set", "--train", 7)
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1


def test_help_does_not_load_opencv(repo):
    code = ("import sys; sys.argv = ['generate_synth.py', '--help']\n"
            "import runpy\n"
            "try: runpy.run_path('generate_synth.py', run_name='__main__')\n"
            "except SystemExit as done: assert not done.code\n"
            "assert not {'cv2', 'numpy', 'PIL', 'mindspore'} & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--difficulty" in done.stdout


def test_contact_sheet_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--contact_sheet", "look.png", "--difficulty", "easy") == 0
    alone = cv2.imread("look.png")
    assert os.listdir(tmp_path) == ["look.png"]
    Path("real").mkdir()
    cv2.imwrite("real/one.png", np.zeros((20, 50, 3), np.uint8))
    run("--contact_sheet", "both.png", "--difficulty", "easy", "--contact_beside", "real")
    assert cv2.imread("both.png").shape[1] > 1.5 * alone.shape[1]
    with pytest.raises(DataError, match="no images"):
        run("--contact_sheet", "both.png", "--difficulty", "easy", "--contact_beside", "nowhere")
