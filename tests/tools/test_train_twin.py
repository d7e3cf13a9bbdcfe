"""Training of the PyTorch twin: the feed of words, its parts against plain references, steps, and going on."""
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the twin needs PyTorch")

from src.common.errors import CheckpointError, ConfigError, CRNNError  # noqa: E402
from src.data.augment import PRESETS, Strengths  # noqa: E402
from src.render import RenderStyle, WordRenderer, find_fonts  # noqa: E402
from tools import pack_words, train_twin, word_feed  # noqa: E402
from tools.plot_training import read_log  # noqa: E402
from tools.torch_augment import augment_batch  # noqa: E402
from tools.torch_twin import CRNN, to_mindspore  # noqa: E402
from tools.train_twin import TwinTrainer, main, parse  # noqa: E402
from tools.twin_log import COLUMNS, cut_log, write_config  # noqa: E402
from tools.twin_pack import read_pack  # noqa: E402
from tools.twin_parts import Pack, Ring, accuracy, frame_targets, rate, save_parts  # noqa: E402
from tools.twin_stages import Stage, parse_stage, parse_stages  # noqa: E402
from tools.word_feed import (  # noqa: E402
    CHARSET,
    CHUNK,
    Chunk,
    Layout,
    WordFeed,
    Words,
    draw_chunk,
    is_feasible,
    plan_feed,
)

CPU = torch.device("cpu")
EASY = RenderStyle.preset("easy")
TINY = ["--device=cpu", "--batch_size=4", "--workers=1", "--prefill=256", "--ring=256", "--val=8", "--style=easy",
        "--log_steps=1", "--strings_share=0", "--reuse=100"]


@pytest.fixture(scope="module")
def fonts():
    return find_fonts(clean=True)[:6]


@pytest.fixture
def fast_workers(tmp_path, monkeypatch):
    """Workers that draw nothing: their images, classes and lengths are all 1."""
    (tmp_path / "root" / "tools").mkdir(parents=True)
    (tmp_path / "root" / "tools" / "word_feed.py").write_text(
        "import sys\ndef work():\n    sys.stdin.buffer.read()\n    while True:\n"
        f"        sys.stdout.buffer.write(b'\\1' * {CHUNK * (32 * 100 * 3 + 25)})\n")
    monkeypatch.setattr(word_feed, "ROOT", tmp_path / "root")
    monkeypatch.setattr(train_twin, "_PLANNED", 1000)


def chunk_of(texts, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.full((len(texts), 24), CHARSET.blank, np.uint8)
    for row, text in zip(labels, texts, strict=True):
        row[:len(text)] = CHARSET.encode(text)
    return Chunk(rng.integers(0, 256, (len(texts), 32, 100, 3), dtype=np.uint8), labels,
                 np.array([len(text) for text in texts], np.uint8))


def test_words_are_feasible_and_held_out():
    assert is_feasible("a" * 15, Layout(128)) and not is_feasible("a" * 17, Layout(128))
    assert is_feasible("Abc12") and not is_feasible("it's") and is_feasible("a" * 12) and not is_feasible("a" * 13)
    words, held_out = plan_feed([f"word{i}" for i in range(300)] + ["it's", "a" * 20], 500, 50, 3)
    shown = {words.lexicon[row] for row in words.rows}
    assert all(map(is_feasible, shown)) and len(words.rows) > 450
    assert not {word for word in shown if word.startswith("word")} & {held_out.lexicon[row] for row in held_out.rows}
    assert sum(not word.startswith("word") for word in (words.lexicon[row] for row in words.rows)) > 30


def test_chunk_is_what_the_renderer_draws(fonts):
    words = Words(["alpha", "42"], np.array([0, 1, 1], np.int32))
    renderer = WordRenderer(EASY, fonts, 5)
    chunk = draw_chunk(renderer, words, 4, 3)
    shown = [CHARSET.decode(row[:n]) for row, n in zip(chunk.labels, chunk.lengths, strict=True)]
    assert shown == ["42", "42", "alpha"]
    assert (chunk.labels[1, 2:] == CHARSET.blank).all() and chunk.images.shape == (3, 32, 100, 3)
    again = draw_chunk(WordRenderer(EASY, fonts, 5), words, 6, 1)
    np.testing.assert_array_equal(again.images[0], chunk.images[2])


def test_feed_gives_every_number_once_and_tells_when_a_worker_dies(fonts, capfd):
    words = Words(["alpha", "beta", "42"], np.arange(3, dtype=np.int32))
    feed = WordFeed(EASY, fonts, words, 1, 5, first=512)
    try:
        got = feed.take(wait=True)
        expected = draw_chunk(WordRenderer(EASY, fonts, 5), words, 512, 20)
        np.testing.assert_array_equal(got.images[:20], expected.images)
        np.testing.assert_array_equal(got.labels[:20], expected.labels)
    finally:
        feed.close()
    broken = WordFeed(EASY, fonts, Words(["\u4e2d"], np.zeros(1, np.int32)), 1, 5)
    with pytest.raises(CRNNError, match="drawing process ended"):
        broken.take(wait=True)
    broken.close()
    assert "no font has all characters" in capfd.readouterr().err


def test_closed_feed_leaves_nothing_behind(fast_workers, fonts):
    feed = WordFeed(EASY, fonts, Words(["a"], np.zeros(1, np.int32)), 2, 5)
    deadline = time.monotonic() + 60
    while not feed._queue.full() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # now both threads wait for a place in the queue
    assert feed._queue.full() and all(thread.is_alive() for thread in feed._threads)
    feed.close()
    assert not any(thread.is_alive() for thread in feed._threads)
    assert all(process.poll() is not None and process.stdin.closed and process.stdout.closed
               for process in feed._processes)
    feed.close()


def test_learning_rate():
    for schedule in ("cosine", "flat"):
        rates = [rate(p, 2.0, schedule, 0.1, 0.6) for p in np.linspace(0, 1, 101)]
        assert rates[0] == 0 and max(rates) == rates[10] == 2.0 and rates[100] == pytest.approx(0, abs=1e-12)
        assert all(a >= b for a, b in zip(rates[10:], rates[11:], strict=False))
    assert rate(0.6, 2.0, "flat", 0.1, 0.6) == 2.0 and rate(0.8, 2.0, "flat", 0.1, 0.6) == pytest.approx(1.0)


def test_frame_targets_are_those_of_the_trainer():
    labels = torch.tensor([[5, 6, 7, 36], [9, 36, 36, 36]])
    expected = [[labels[row, t * length // 24].item() for t in range(24)] for row, length in ((0, 3), (1, 1))]
    assert frame_targets(labels, torch.tensor([3, 1]), 24).T.tolist() == expected


def test_ring_keeps_the_newest():
    ring = Ring(2 * CHUNK, CPU)
    chunks = [chunk_of([text] * CHUNK, seed) for seed, text in enumerate(("a", "b", "c"))]
    for chunk in chunks:
        ring.add(chunk)
    images, labels, lengths = ring.sample(500, np.random.default_rng(0))
    assert set(labels[:, 0].tolist()) == {1, 2} and ring.filled == 2 * CHUNK and ring.drawn == 3 * CHUNK
    row = next(i for i in range(500) if labels[i, 0] == 2)
    picture = images[row].permute(1, 2, 0).byte().numpy()
    assert (chunks[2].images == picture).all((1, 2, 3)).any() and lengths.tolist() == [1] * 500


def test_accuracy_counts_whole_words():
    class Reader(torch.nn.Module):
        """Reads 'aab' (classes 0 0 1) whatever it sees."""

        def forward(self, x):
            scores = torch.zeros(24, len(x), 37)
            for step, best in enumerate([0, 0, 36, 0, 1] + [36] * 19):
                scores[step, :, best] = 1
            return scores

    assert accuracy(Reader(), chunk_of(["aab", "ab", "aab", "aabb"]), CPU) == 0.5


def test_augmentation_on_the_device():
    images = torch.from_numpy(chunk_of(["a"] * 6).images).permute(0, 3, 1, 2).float()
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(augment_batch(images, Strengths()), images)
    moved = augment_batch(images, Strengths(crop=1e-9), generator)
    assert (moved - images).abs().max() < 0.1, "the mapping without effects is the identity"
    for name in ("crop", "rotation", "shear", "perspective", "curve", "blur", "noise", "colour", "invert"):
        changed = augment_batch(images.repeat(20, 1, 1, 1), Strengths(**{name: getattr(PRESETS["strong"], name)}),
                                generator)
        differs = (changed - images.repeat(20, 1, 1, 1)).abs().flatten(1).mean(1) > 0.01
        assert 2 < differs.sum() < 110 and changed.min() >= 0 and changed.max() <= 255, name


def test_loss_falls_on_one_batch():
    torch.manual_seed(0)
    options = parse(["-o", "x", "--steps=30", "--device=cpu", "--float32", "--augment=none", "--warmup=0.1"])
    trainer = TwinTrainer(options, CPU)
    ring = Ring(CHUNK, CPU)
    ring.add(chunk_of(["ab"] * CHUNK))
    batch = ring.sample(4, np.random.default_rng(0))
    losses = [float(trainer.train_step(*batch)) for _ in range(8)]
    assert losses[-1] < 0.6 * max(losses[:3])
    change = (trainer.average.out.bias - trainer.model.out.bias).abs().max()
    assert 0 < change < 0.1, "the average follows the weights"


def test_what_goes_on_equals_what_never_stopped(tmp_path):
    def trainer():
        return TwinTrainer(parse(["-o", str(tmp_path), "--steps=4", "--device=cpu", "--float32", "--warmup=0.1"]), CPU)

    def steps(trainer, count):
        return [float(trainer.train_step(*ring.sample(3, trainer.dice(0)))) for _ in range(count)]

    ring = Ring(CHUNK, CPU)
    ring.add(chunk_of(["ab", "c", "def", "12"] * (CHUNK // 4)))
    first = trainer()
    steps(first, 1)
    first.save()
    expected = steps(first, 2)
    torch.rand(3)  # other dice do not matter
    second = trainer()
    assert second.resume() and second.step == 1
    assert steps(second, 2) == pytest.approx(expected, rel=1e-4)
    assert second.dice(0).random() != second.dice(1).random()
    path = tmp_path / "state.pt"
    whole = path.read_bytes()
    for content in (whole[:len(whole) // 2], b"", b"hello"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="state.pt is damaged, or no state that this program wrote: remove"):
            second.resume()
    torch.save({"model": {}}, path)
    with pytest.raises(CheckpointError, match="state.pt is damaged"):
        second.resume()
    second.state_path = str(tmp_path)
    with pytest.raises(CheckpointError, match="is a folder"):
        second.resume()


def test_stop_by_signal_and_what_is_on_record(tmp_path, monkeypatch, capfd, fast_workers, signals_as_usual):
    out, step = tmp_path / "run", TwinTrainer.train_step
    command = ["-o", str(out), "--steps=3", f"--state={tmp_path}/states/new/x.pt", "--float32", *TINY]

    def stopped_step(trainer, *batch):
        loss = step(trainer, *batch)
        if trainer.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss

    monkeypatch.setattr(TwinTrainer, "train_step", stopped_step)
    handler = signal.getsignal(signal.SIGTERM)
    assert main(command) == 143
    assert "stopped: the same command goes on: 8 images" in capfd.readouterr().out
    assert (tmp_path / "states" / "new" / "x.pt").is_file() and signal.getsignal(signal.SIGTERM) == handler
    with open(out / "log.tsv", "a") as log:  # as if it had been killed after two more steps
        log.write("3" + "\t9" * 8 + "\n4\t9")
    assert main([*command, "--learning_rate=0.001"]) == 0
    rows = [line.split("\t") for line in (out / "log.tsv").read_text().splitlines()]
    assert [row[0] for row in rows] == ["step", "1", "2", "2", "3", "3"] and rows[4][1] != "9"
    config = json.loads((out / "config.json").read_text())
    assert (config["from_step"], config["options"]["learning_rate"], config["device_name"]) == (2, 0.001, "cpu")
    assert config["options"].keys() == vars(parse(command)).keys() and config["torch"] == torch.__version__
    assert config["faces"] > 0 and config["words"] > 10 and config["drawing_processes"] == 1
    (before,) = config["earlier"]
    assert before["from_step"] == 0 and before["options"] == vars(parse(command)) and "earlier" not in before
    (stage,) = read_log((out / "log.tsv").read_text().split("\n"), "twin")
    assert [images for images, _ in stage.losses] == [4, 8, 12] and len(stage.accuracies) == 2


def test_log_and_configuration_that_are_not_there_or_damaged(tmp_path):
    path = tmp_path / "log.tsv"
    cut_log(path, 5)
    assert path.read_text() == "\t".join(COLUMNS) + "\n"
    path.write_text("no table\n7" + "\t" * 8 + "\n")
    cut_log(path, 5)
    assert path.read_text() == "\t".join(COLUMNS) + "\n" and len(list(tmp_path.iterdir())) == 1
    path = tmp_path / "config.json"
    for before in ("{", "[]", "7", "{}"):
        path.write_text(before)
        write_config(path, {"a": 1}, True)
        assert json.loads(path.read_text()) == {"a": 1, "earlier": []}
    write_config(path, {"a": 2}, True)
    assert json.loads(path.read_text())["earlier"] == [{"a": 1}]
    write_config(path, {"a": 3}, False)
    assert json.loads(path.read_text())["earlier"] == []


def test_stages_are_read():
    assert parse_stage("name=flat, minutes=6, rate=2e-3") == Stage("flat", 6, 2e-3, 2e-3)
    stages = parse_stages(["name=flat,minutes=6,rate=2e-3", "name=real,minutes=2,rate=1e-3:0,real=0.3,from=flat"])
    assert stages[1] == Stage("real", 2, 1e-3, 0, 0.3, "flat")
    assert [stages[1].rate(share) for share in (0, 0.5, 1, 2)] == pytest.approx([1e-3, 5e-4, 0, 0])
    for text, message in (("minutes=1,rate=1", "name, minutes and rate"), ("name=a,minutes=x,rate=1", "must be given"),
                          ("name=a,minutes=1,rate=1,speed=2", "expected KEY=VALUE"), ("name=a,name=b", "at most once"),
                          ("name=a b,minutes=1,rate=1", "the name must"),
                          ("name=state,minutes=1,rate=1", "not 'weights'"),
                          ("name=a,minutes=0,rate=1", "minutes must be above 0"),
                          ("name=a,minutes=1,rate=1,real=2", "real between 0 and 1")):
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse_stage(text)
    for second, message in (("name=flat,minutes=1,rate=1", "a stage flat already"),
                            ("name=b,minutes=1,rate=1,from=c", "no stage c comes before")):
        with pytest.raises(ConfigError, match=message):
            parse_stages(["name=flat,minutes=6,rate=2e-3", second])
    with pytest.raises(ConfigError, match="--real '' is no file, but a stage wants real words"):
        parse(["-o", "x", "--stage=name=a,minutes=1,rate=1,real=0.5"])
    with pytest.raises(CheckpointError, match="nowhere.npz is no pack of words"):
        TwinTrainer(parse(["-o", "x", "--stage=name=a,minutes=1,rate=1,real=0.5", "--real=nowhere.npz"]), CPU)


@pytest.fixture
def word_list(tmp_path):
    """Two readable words, one too long for 24 steps, one without letters, one file that is no image."""
    rng = np.random.default_rng(0)
    texts = {"a.png": "Stop!", "b.png": "A" * 13, "c.png": "?!", "d.png": "no", "e.png": "bad"}
    for name in texts:
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (20, 50, 3), np.uint8))
    (tmp_path / "e.png").write_bytes(b"nothing")
    (tmp_path / "labels.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in texts.items()))
    return tmp_path


def test_pack_holds_what_the_network_sees(word_list, capsys):
    path = str(word_list / "words.npz")
    assert pack_words.main([f"list:{word_list}/labels.tsv=2.5", "-o", path, "--quality=101"]) == 3
    said = capsys.readouterr()
    assert "2 words in" in said.out and "no letter or digit: 1" in said.out and "too long for the width: 1" in said.out
    assert "unreadable: 1" in said.out and "e.png" in said.err
    chunk, sets, weights = read_pack(path, Layout(100))
    assert [CHARSET.decode(row[:n]) for row, n in zip(chunk.labels, chunk.lengths, strict=True)] == ["stop", "no"]
    assert weights.tolist() == [2.5, 2.5] and len(set(sets.tolist())) == 1
    image = cv2.resize(cv2.imread(str(word_list / "d.png")), (100, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(chunk.images[1], image)
    pack = Pack(path, CPU, Layout(100))
    images, labels, _ = pack.sample(50, np.random.default_rng(0))
    assert images.shape == (50, 3, 32, 100) and len(set(labels[:, 0].tolist())) == 2
    with pytest.raises(CheckpointError, match="give --width 100"):
        read_pack(path, Layout(128))
    for content in (b"", b"hello", (word_list / "words.npz").read_bytes()[:500]):
        (word_list / "bad.npz").write_bytes(content)
        with pytest.raises(CheckpointError, match="no pack of words, or it is damaged"):
            read_pack(str(word_list / "bad.npz"), Layout(100))
    for words in ("list:x=0", "list:", "nokind:x", "list:x=much"):
        with pytest.raises(ConfigError, match="expected KIND:PATH"):
            pack_words.read_set(words)


def test_weights_of_a_pack_count(word_list, tmp_path):
    pack = Pack.__new__(Pack)
    pack.chunk, pack._ends = chunk_of(["a", "b"]), np.cumsum([0.9, 0.1])
    pack.images = torch.from_numpy(pack.chunk.images)
    _, labels, _ = pack.sample(2000, np.random.default_rng(0))
    assert (labels[:, 0] == 0).float().mean() == pytest.approx(0.9, abs=0.03)


def test_stages_of_a_run(tmp_path, word_list, fast_workers, capsys):
    path, out = str(word_list / "words.npz"), tmp_path / "run"
    pack_words.main([f"list:{word_list}/labels.tsv", "-o", path])
    flat, decay, real = ("name=flat,minutes=1e-6,rate=1e-3", "name=decay,minutes=1e-6,rate=1e-3:0",
                         "name=real,minutes=1e-6,rate=1e-3:0,real=0.5,from=flat")
    command = ["-o", str(out), f"--real={path}", f"--real_val={path}", "--float32", "--warmup_steps=1", *TINY]
    seen = {}

    def batch(trainer, ring, original=TwinTrainer.batch):
        seen[trainer.stage.name] = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        images, labels, lengths = original(trainer, ring)
        seen[trainer.stage.name, "real"] = int((lengths > 1).sum())  # what is drawn here has one letter
        return images, labels, lengths

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TwinTrainer, "batch", batch)
        assert main([*command, "--stage", flat, "--stage", decay, "--stage", real]) == 0
    said = capsys.readouterr().out
    assert "stage decay" in said and "stage real" in said and "real words " in said and "complete: 12 images" in said
    assert [seen[name, "real"] for name in ("flat", "decay", "real")] == [0, 0, 2]
    # The real stage begins with the weights at the end of the flat one, as the decay did.
    assert all(torch.equal(value, seen["decay"][name]) for name, value in seen["real"].items())
    assert not torch.equal(seen["flat"]["out.bias"], seen["decay"]["out.bias"])
    assert {file.name for file in out.glob("*.npz")} == {"flat.npz", "decay.npz", "real.npz", "weights.npz"}
    rates = [line.split("\t")[5] for line in (out / "log.tsv").read_text().splitlines()[1:4]]
    assert rates == ["1.00e-03"] * 3
    with pytest.raises(ConfigError, match="is complete"):
        main([*command, "--stage", flat, "--stage", decay, "--stage", real])


@pytest.mark.slow
def test_run_goes_on_where_it_was(tmp_path, capsys):
    out = str(tmp_path / "run")
    assert main(["-o", out, "--steps=6", "--session_minutes=1e-9", *TINY]) == 0
    assert "stopped: the same command goes on: 0 images" in capsys.readouterr().out
    assert main(["-o", out, "--steps=2", "--part_mib=14", *TINY]) == 0
    first = capsys.readouterr().out
    assert "going on after 0 steps" in first and "complete: 8 images" in first
    assert main(["-o", out, "--steps=4", *TINY]) == 0
    assert "going on after 2 steps" in (second := capsys.readouterr().out) and "complete: 16 images" in second
    rows = [line.split("\t") for line in (tmp_path / "run" / "log.tsv").read_text().splitlines()]
    assert tuple(rows[0]) == COLUMNS and all(len(row) == len(COLUMNS) for row in rows)
    assert [row[0] for row in rows if row[4] and row[0] != "step"] == ["1", "2", "3", "4"]
    with pytest.raises(ConfigError, match="is complete"):
        main(["-o", out, "--steps=4", *TINY])
    with np.load(tmp_path / "run" / "weights.npz") as weights:
        assert weights["vgg.conv1.conv.weight"].shape == (64, 3, 3, 3) and "rnn.1.embedding.bias" in weights
    assert len(list((tmp_path / "run").glob("weights_?.npz"))) == 3


def test_start_from_weights(tmp_path):
    torch.manual_seed(3)
    weights = to_mindspore(CRNN(37, "V2"))
    save_parts(tmp_path, weights, 14 << 20)
    parts = sorted(map(str, tmp_path.glob("weights_*.npz")))
    trainer = TwinTrainer(parse(["-o", "x", "--device=cpu", "--init", *parts]), CPU)
    for network in (trainer.model, trainer.average):
        assert all(np.array_equal(value, weights[name]) for name, value in to_mindspore(network).items())
    with pytest.raises(CheckpointError, match="not the weights of this network"):
        TwinTrainer(parse(["-o", "x", "--device=cpu", "--init", parts[0]]), CPU)


def test_the_networks_of_the_project_read_what_is_drawn(pretrained, fonts, tmp_path):
    """Classes, channels and scaling are those of the project: weights that train.py made read these words."""
    from src.network.checkpoint import read_checkpoint

    path = tmp_path / "weights.npz"
    np.savez(path, **read_checkpoint(str(pretrained)).weights)
    trainer = TwinTrainer(parse(["-o", "x", "--device=cpu", "--init", str(path)]), CPU)
    words = Words(["street", "house", "open", "coffee", "market", "1984"], np.arange(6, dtype=np.int32))
    chunk = draw_chunk(WordRenderer(EASY, fonts, 5), words, 0, 48)
    assert accuracy(trainer.average, chunk, CPU) > 0.8


def test_parts_are_the_whole(tmp_path):
    weights = {f"w{i}": np.full(100, i, np.float32) for i in range(7)}
    save_parts(tmp_path, weights, 1000)
    found = {}
    for path in sorted(tmp_path.glob("weights_*.npz")):
        with np.load(path) as arrays:
            found.update({name: arrays[name] for name in arrays})
    assert len(list(tmp_path.glob("*"))) == 4 and sorted(found) == sorted(weights)


def test_bare_machine(repo):
    """Neither MindSpore nor YAML nor LMDB nor SciPy is imported."""
    code = "import sys; sys.path.insert(0, '.'); import tools.train_twin; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repo, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert not loaded & {"mindspore", "yaml", "lmdb", "scipy", "onnx", "onnxruntime"} and "torch" in loaded


def test_messages(tmp_path, monkeypatch):
    for words, message in ((["--batch_size=0"], "--batch_size 0"), (["--warmup=1"], "--warmup and --decay_from"),
                           (["--steps=0"], "--steps 0 must be above 0"), (["--steps=-3"], "--steps -3 must"),
                           (["--workers=-1"], "--workers -1 must be 0 or more"), (["--ema=2"], "--ema 2.0 must be")):
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse(["-o", "x", *words])
    assert parse(["-o", "x", "--workers=0"]).steps is None
    for device in ("gpu", "cuda:99", "meta"):
        with pytest.raises(ConfigError, match=f"--device {device} cannot be used .*offers cpu"):
            main(["-o", str(tmp_path / "x"), f"--device={device}"])
    assert not (tmp_path / "x").exists()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with pytest.raises(SystemExit):
        parse([])


def test_commands_of_the_page_are_accepted(repo):
    page = (repo / "docs" / "accelerator_training.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^python tools/train_twin.py (.*)$", page, re.MULTILINE)
    assert len(commands) > 2 and all(parse(shlex.split(command, comments=True)) for command in commands)
