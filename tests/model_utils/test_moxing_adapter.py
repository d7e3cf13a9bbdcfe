"""ModelArts: copying in and out, once for each node, with a stand-in for its package moxing that copies folders."""
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from src.common.errors import ConfigError
from src.model_utils.config import load_config
from src.model_utils.moxing_adapter import is_inside, modelarts
from tests.conftest import REPO
from tests.modelarts.test_archives import pack_tar
from tests.modelarts.test_node import wait_for
from tests.onnx_models import write_checkpoint
from tests.words import write_synth_set

pytestmark = pytest.mark.usefixtures("signals_as_usual")

# obs://NAME is the folder NAME in $STORE; every copy is written down in $STORE/log.
MOXING = '''
import os, shutil, sys, time
STORE = os.environ["STORE"]

def local(path):
    return path.replace("obs:/", STORE)

def note(*words):
    with open(STORE + "/log", "a") as log:
        log.write(" ".join(map(str, words)) + "\\n")

def is_directory(path):
    return os.path.isdir(local(path))

def copy_parallel(source, target):
    note("begin", os.environ.get("RANK_ID", "0"), source, target)
    while not all(os.path.exists(f"{STORE}/here{rank}") for rank in range(int(os.environ.get("TOGETHER", "0")))):
        time.sleep(0.01)  # until all ranks are about to ask for the data
    time.sleep(float(os.environ.get("SLOW", "0")))
    if source in os.environ.get("BROKEN", "").split() or target in os.environ.get("BROKEN", "").split():
        raise OSError("stat:404 no such bucket\\nrequest id 1")
    shutil.copytree(local(source), local(target), dirs_exist_ok=True)
    note("end", os.environ.get("RANK_ID", "0"), source, target)

def copy(source, target):
    note("file", source, target)
    shutil.copyfile(local(source), local(target))
'''
BODY = '''
import os, sys, time
from src.common.errors import run_main
from src.model_utils.config import load_config
from src.model_utils.moxing_adapter import modelarts

def main(argv):
    config = load_config()
    open(os.environ["STORE"] + "/here" + os.environ.get("RANK_ID", "0"), "w").close()
    with modelarts(config, "train_dataset_path", "resume_ckpt"):
        os.makedirs(config.output_dir, exist_ok=True)
        open(config.output_dir + "/rank" + os.environ.get("RANK_ID", "0"), "w").close()
        print("path", config.train_dataset_path, sorted(os.listdir(config.data_path)), flush=True)
        exec(os.environ.get("DO", ""))

run_main(main)
'''


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The stand-in's storage, with data in it; the package can be imported here and in programs started from here."""
    (tmp_path / "packages/moxing").mkdir(parents=True)
    (tmp_path / "packages/moxing/__init__.py").write_text("from moxing import file\n")
    (tmp_path / "packages/moxing/file.py").write_text(MOXING)
    folder = tmp_path / "store"
    (folder / "data/set").mkdir(parents=True)
    (folder / "data/set/annotation.txt").write_text("a.png,word\n")
    monkeypatch.setenv("STORE", str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'packages'}{os.pathsep}{REPO}")
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    yield folder
    for name in ("moxing", "moxing.file"):
        sys.modules.pop(name, None)


def options(tmp_path, **more):
    values = {"data_url": "obs://data", "train_url": "obs://results", "data_path": tmp_path / "cache/data",
              "output_path": tmp_path / "cache/train", "load_path": tmp_path / "cache/load", **more}
    return ["--enable_modelarts=True", *(f"--{key}={value}" for key, value in values.items())]


def start(tmp_path, rank=0, ranks=1, program=("-c", BODY), do="", more=None, **environment):
    """Starts a program as ModelArts starts a rank."""
    variables = os.environ | {"RANK_ID": str(rank), "RANK_SIZE": str(ranks), "DEVICE_ID": str(rank), "DO": do,
                              **environment}
    return subprocess.Popen([sys.executable, *program, *options(tmp_path, **(more or {}))], cwd=tmp_path,
                            env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process, code=0):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == code, out + errors
    return out, errors


def log(store):
    path = store / "log"
    return path.read_text().splitlines() if path.exists() else []


def ends(store):
    return [line.split()[1:] for line in log(store) if line.startswith("end")]


def test_without_the_package_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "moxing", None)
    message = "^enable_modelarts needs the package moxing, .* leave enable_modelarts out$"
    with pytest.raises(ConfigError, match=message), modelarts(load_config(options(tmp_path))):
        pytest.fail("the program ran")
    with modelarts(load_config([])):
        pass  # not asked for: not needed


def test_copies_in_and_out(tmp_path, store):
    out, _ = finish(start(tmp_path))
    assert f"path {tmp_path}/cache/data ['set']" in out
    assert ends(store) == [["0", "obs://data", f"{tmp_path}/cache/data"],
                           ["0", f"{tmp_path}/cache/train", "obs://results"]]
    assert (tmp_path / "cache/data/set/annotation.txt").read_text() == "a.png,word\n"
    assert [p.name for p in (store / "results/output").iterdir()] == ["rank0"]


def test_paths_are_those_of_the_node(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (store / "weights").mkdir()
    (store / "weights/a.ckpt").write_text("a")
    (tmp_path / "weights_of_the_program.ckpt").write_text("b")
    cache = tmp_path / "cache"
    config = load_config([*options(tmp_path, checkpoint_url="obs://weights"), "--train_dataset_path=set",
                          "--eval_dataset_path=/elsewhere", "--lexicon=full", "--language_model=gone.lm",
                          "--ckpt_file=weights_of_the_program.ckpt", "--save_predictions=t.tsv"])
    with modelarts(config, "eval_dataset_path", "checkpoint_path"):
        assert config.train_dataset_path == str(cache / "data/set") and config.eval_dataset_path == "/elsewhere"
        assert config.checkpoint_path == str(cache / "load/a.ckpt") and config.resume_ckpt == ""
        assert config.ckpt_file == "weights_of_the_program.ckpt" and config.lexicon == "full"
        assert config.language_model == str(cache / "load/gone.lm")
        assert config.output_dir == str(cache / "train/output")
        assert config.save_predictions == str(cache / "train/t.tsv")
        assert config.file_name == str(cache / "train/crnn") and config.save_checkpoint_path == ""
    config = load_config(options(tmp_path, checkpoint_url="obs://weights/a.ckpt"))
    with modelarts(config, "train_dataset_path", "resume_ckpt"):
        assert config.train_dataset_path == str(cache / "data") and config.resume_ckpt == str(cache / "load/a.ckpt")
    assert f"file obs://weights/a.ckpt {cache / 'load/a.ckpt'}" in log(store)
    (store / "weights/b.ckpt").write_text("b")
    message = r"brought 2 checkpoints to .*load \(a.ckpt, b.ckpt\); say which with resume_ckpt"
    with pytest.raises(ConfigError, match=message), modelarts(
            load_config(options(tmp_path, checkpoint_url="obs://weights")), "", "resume_ckpt"):
        pytest.fail("the program ran")
    with modelarts(load_config([*options(tmp_path, checkpoint_url="obs://weights"), "--resume_ckpt=b.ckpt"]), "",
                   "resume_ckpt"):
        pass


def test_evaluation_while_training_reads_the_copied_data(tmp_path, store):
    data = str(tmp_path / "cache/data")

    def taken(*more, key="train_dataset_path"):
        config = load_config([*options(tmp_path), *more])
        with modelarts(config, key):
            return config.train_eval_dataset, config.train_eval_dataset_path
    assert taken("--run_eval=True") == ("synth", data)
    assert taken("--run_eval=True", "--train_dataset=lmdb") == ("lmdb", data)
    assert taken("--run_eval=True", "--train_eval_dataset=list") == ("list", data)
    assert taken("--run_eval=True", "--train_dataset_path=set") == ("svt", data), "the training data lie elsewhere"
    assert taken("--run_eval=True", "--train_eval_dataset_path=set") == ("svt", f"{data}/set")
    assert taken() == ("svt", "") and taken("--run_eval=True", key="eval_dataset_path") == ("svt", "")
    assert taken("--run_eval=True", "--data_url=") == ("svt", "")


def test_a_picture_of_the_first_batch_goes_out(tmp_path, store):
    config = load_config([*options(tmp_path), "--show_batch=batch.png"])
    with modelarts(config, "train_dataset_path"):
        Path(config.show_batch).write_text("picture")
    assert (store / "results/batch.png").read_text() == "picture"


def test_two_ranks_copy_once(tmp_path, store):
    for _ in range(2):  # the second time what the first run left behind is there
        for path in store.glob("here*"):
            path.unlink()
        (store / "log").unlink(missing_ok=True)
        ranks = [start(tmp_path, rank, 2, SLOW="1", TOGETHER="2", do="time.sleep(0.3)") for rank in (0, 1)]
        outs = [finish(process)[0] for process in ranks]
        for out in outs:
            assert f"path {tmp_path}/cache/data ['set']" in out, "every rank runs when all data are there"
        assert sum("waiting for another process of this node to copy the data" in out for out in outs) == 1
        copied = ends(store)
        assert [words[1:] for words in copied] == [["obs://data", f"{tmp_path}/cache/data"],
                                                   [f"{tmp_path}/cache/train", "obs://results"]]
        assert {p.name for p in (store / "results/output").iterdir()} >= {f"rank{copied[-1][0]}"}


def test_a_rank_that_comes_late_copies_nothing(tmp_path, store):
    first = start(tmp_path, 0, 2, do=f"\nwhile not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)")
    wait_for(lambda: "path" in first.stdout.readline())
    out, _ = finish(start(tmp_path, 1, 2))
    assert "path" in out and len(log(store)) == 2, "neither in nor, while rank 0 is there to do it, out"
    (tmp_path / "go").touch()
    finish(first)
    assert [words[:2] for words in ends(store)] == [["0", "obs://data"], ["0", f"{tmp_path}/cache/train"]]
    assert {p.name for p in (store / "results/output").iterdir()} == {"rank0", "rank1"}


def test_when_the_rank_that_copies_is_killed_another_takes_over(tmp_path, store):
    first = start(tmp_path, 0, 2, SLOW="60")
    wait_for(lambda: log(store))
    second = start(tmp_path, 1, 2)
    assert "waiting" in second.stdout.readline()
    first.kill()
    first.communicate()
    out, _ = finish(second)
    assert "path" in out and [words[:2] for words in ends(store)] == [["1", "obs://data"],
                                                                    ["1", f"{tmp_path}/cache/train"]]


@pytest.mark.parametrize(("do", "code", "message"), [
    ("raise ValueError('a bug')", 1, "ValueError: a bug"), ("raise SystemExit(7)", 7, ""),
    ("from src.common.errors import DataError\nraise DataError('no data')", 2, "error: no data")])
def test_results_go_out_after_a_failure(tmp_path, store, do, code, message):
    _, errors = finish(start(tmp_path, do=do), code)
    assert message in errors and (store / "results/output/rank0").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_results_go_out_when_the_job_is_stopped(tmp_path, store, number, code):
    process = start(tmp_path, do="time.sleep(60)", SLOW="0.5")
    wait_for(lambda: "path" in process.stdout.readline())
    process.send_signal(number)
    wait_for(lambda: len(log(store)) > 2)
    process.send_signal(signal.SIGTERM)  # a second one does not break the copying off
    finish(process, code)
    assert (store / "results/output/rank0").exists() and len(ends(store)) == 2


def test_copies_that_fail(tmp_path, store):
    _, errors = finish(start(tmp_path, BROKEN="obs://data"), 2)
    assert errors == (f"error: data_url obs://data cannot be copied to {tmp_path}/cache/data: OSError: stat:404 no "
                      "such bucket\n")
    assert not (store / "results").exists()
    _, errors = finish(start(tmp_path, BROKEN="obs://results"), 2)
    assert errors.startswith("error: the results in") and errors.count("\n") == 1
    _, errors = finish(start(tmp_path, BROKEN="obs://results", do="raise ValueError('a bug')"), 1)
    assert "warning: the results in" in errors and "ValueError: a bug" in errors
    (store / "nothing").mkdir()
    _, errors = finish(start(tmp_path, more={"data_url": "obs://nothing", "data_path": tmp_path / "other"}), 2)
    assert "data_url obs://nothing is empty" in errors


def test_a_rank_that_waited_for_a_failure_fails_alike(tmp_path, store):
    ranks = [start(tmp_path, rank, 2, SLOW="1", TOGETHER="2", BROKEN="obs://data") for rank in (0, 1)]
    errors = [finish(process, 2)[1] for process in ranks]
    assert errors[0] == errors[1] and "no such bucket" in errors[0] and len(log(store)) == 1


def test_archives_are_unpacked_where_they_lie(tmp_path, store, capsys):
    with zipfile.ZipFile(store / "data/set/a.ZIP", "w") as archive:
        archive.writestr("x/1.png", b"one")
        archive.writestr("x/2.png", b"two")
    pack_tar(store / "data/b.tar.gz", ("y", tarfile.DIRTYPE, ""), ("y/3.png", tarfile.REGTYPE, ""),
             ("y/4.png", tarfile.SYMTYPE, "3.png"))
    with modelarts(load_config(options(tmp_path))):
        data = tmp_path / "cache/data"
        assert (data / "set/x/2.png").read_bytes() == b"two" and (data / "y/4.png").read_bytes() == b"data"
    out = capsys.readouterr().out
    assert f"unpacked {data}/set/a.ZIP: 2 files" in out and f"unpacked {data}/b.tar.gz: 2 files" in out


def test_the_scheduler_of_msrun_takes_no_part(tmp_path, store, monkeypatch):
    monkeypatch.setenv("MS_ROLE", "MS_SCHED")
    with modelarts(load_config(options(tmp_path))):
        assert is_inside()
    assert not is_inside() and log(store) == []


@pytest.mark.slow
def test_train_eval_and_export(tmp_path, store):
    """The programs themselves, one after the other, each with what the one before sent out; training is stopped."""
    write_synth_set(store / "words")
    common = {"data_url": "obs://words", "device_target": "CPU", "batch_size": 8, "num_parallel_workers": 1}

    def program(name, **more):
        return start(tmp_path, program=(str(REPO / name),), more=common | more)
    training = program("train.py", epoch_size=1000, hidden_size=16, per_print_time=1, train_url="obs://run")
    lines = []
    wait_for(lambda: lines.append(training.stdout.readline()) or "loss is" in lines[-1])
    training.send_signal(signal.SIGTERM)
    finish(training, 143)
    assert any("24 of 24 words used for training" in line for line in lines)
    names = {path.name for path in (store / "run/output/ckpt").iterdir()}
    checkpoint = next(name for name in names if name.endswith(".ckpt"))
    assert names == {"config.yaml", checkpoint}
    out, _ = finish(program("eval.py", eval_dataset="synth", checkpoint_url="obs://run/output/ckpt",
                            save_predictions="table.tsv", train_url="obs://read"))
    assert "total num: 10" in out and len((store / "read/table.tsv").read_text().splitlines()) == 11
    finish(program("export.py", checkpoint_url=f"obs://run/output/ckpt/{checkpoint}", file_format="ONNX",
                   train_url="obs://exported"))
    assert (store / "exported/crnn.onnx").is_file()


def test_a_program_itself(tmp_path, store):
    """eval.py with a checkpoint from the storage, and its table sent there."""
    write_synth_set(store / "words", train=8)
    (store / "ckpt").mkdir()
    write_checkpoint(store / "ckpt" / "crnn.npz", hidden=16)
    out, _ = finish(start(tmp_path, program=(str(REPO / "eval.py"),), more={
        "data_url": "obs://words", "device_target": "CPU", "num_parallel_workers": 1, "eval_dataset": "synth",
        "checkpoint_url": "obs://ckpt/crnn.npz", "save_predictions": "table.tsv", "train_url": "obs://read"}))
    assert "total num: 10" in out and len((store / "read/table.tsv").read_text().splitlines()) == 11
