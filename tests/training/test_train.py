"""train.py, eval.py and predict.py from end to end on a tiny set, and going on from a checkpoint."""
import os
import re

import numpy as np
import pytest

import eval as eval_program
import predict
import train
from src.common.errors import CheckpointError, ConfigError, DataError
from src.crnn import build_network
from src.model_utils.config import load_config
from src.network.checkpoint import load_weights, read_checkpoint, write_checkpoint
from src.prediction.reading_sheet import known_text
from src.render.layout import chunks
from src.training.setup import evaluation_while_training
from tests.stub_network import install, write_image
from tests.words import WORDS, draw_word, write_synth_set

TINY = ["--device_target=CPU", "--batch_size=8", "--hidden_size=16", "--learning_rate=0.001", "--optimizer=adamw",
        "--loss_reduction=mean", "--aux_ce_weight=1.0", "--show_progress=never", "--num_parallel_workers=1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_synth_set(tmp_path_factory.mktemp("synth") / "set")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of two epochs (six steps) with a checkpoint every second step; its folder and what it printed."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda *args, **_: printed.append(" ".join(map(str, args))))
        code = train.main([*TINY, "--train_dataset=synth", f"--train_dataset_path={data}", f"--output_dir={folder}",
                           "--epoch_size=2", "--save_checkpoint_steps=2", "--per_print_time=2", "--run_eval=True",
                           "--train_eval_dataset=synth", f"--train_eval_dataset_path={data}", "--eval_start_epoch=1"])
    assert code == 0
    return folder, "\n".join(printed)


def test_lines_are_those_users_know(run):
    _, printed = run
    losses = re.findall(r"^epoch: (\d+) step: (\d+), loss is \d+\.\d+$", printed, re.M)
    assert losses == [("1", "2"), ("1", "3"), ("2", "2"), ("2", "3")]
    assert len(re.findall(r"^Epoch time: [\d.]+ ms, per step time: [\d.]+ ms, [\d.]+ images/s$", printed, re.M)) == 2
    assert "24 of 24 words used for training" in printed
    folder = run[0]
    assert printed.endswith(f"tensorboard --logdir={folder / 'tensorboard'}")
    assert f"the run is in {folder}: log.txt, metrics.csv, curves.png" in printed
    assert len(re.findall(r"^epoch: \d, acc: 0\.\d{6} \(\d of 6\)", printed, re.M)) == 2, "validation words, not test"


def test_files_of_a_run(run):
    folder, _ = run
    names = sorted(path.name for path in (folder / "ckpt").iterdir())
    assert names == ["best_acc.ckpt", "config.yaml", "crnn-1_2.ckpt", "crnn-2_1.ckpt", "crnn-2_3.ckpt"]
    info = read_checkpoint(str(folder / "ckpt" / "crnn-2_1.ckpt")).info
    assert (info["epoch_num"], info["step_in_epoch"], info["step_num"]) == (1, 1, 4)
    last = read_checkpoint(str(folder / "ckpt" / "crnn-2_3.ckpt"))
    assert (last.info["epoch_num"], last.info["step_in_epoch"]) == (2, 0)
    assert last.info["label_dict"] == "abcdefghijklmnopqrstuvwxyz0123456789" and last.model_version == "V2"
    assert any(name.startswith("exp_avg.") for name in last.values)
    best = read_checkpoint(str(folder / "ckpt" / "best_acc.ckpt"))
    assert best.values.keys() == best.weights.keys(), "the best checkpoint holds the weights alone"


@pytest.mark.slow
@pytest.mark.parametrize("point", ["crnn-1_2.ckpt", "crnn-2_1.ckpt"])
def test_a_resumed_run_ends_like_the_whole_one(run, data, tmp_path, point, capsys):
    folder, _ = run
    code = train.main([*TINY, f"--train_dataset_path={data}", f"--output_dir={tmp_path}", "--epoch_size=2",
                       f"--resume_ckpt={folder / 'ckpt' / point}"])
    assert code == 0 and "weights and training state" in capsys.readouterr().out
    whole = read_checkpoint(str(folder / "ckpt" / "crnn-2_3.ckpt")).values
    resumed = read_checkpoint(str(tmp_path / "ckpt" / "crnn-2_3.ckpt")).values
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


def test_lists_are_evaluated_on_their_validation_words(tmp_path, capsys):
    """What is opened to evaluate on while training; no step is needed to see it."""
    import cv2
    for number, (split, count) in enumerate((("train", 8), ("val", 3), ("test", 5))):
        names = [f"{split}{n}.png" for n in range(count)]
        for name in names:
            cv2.imwrite(str(tmp_path / name), draw_word("fox", number))
        (tmp_path / f"rec_gt_{split}.txt").write_text("".join(f"{name}\tfox\n" for name in names))
    config = load_config([*TINY, "--train_eval_dataset=list", f"--train_eval_dataset_path={tmp_path}"])
    network = build_network("V2", 37, hidden_size=16)

    def opened() -> str:
        evaluation_while_training(config, network, tmp_path, print)
        return capsys.readouterr().out

    out = opened()
    assert "3 words" in out and "no validation list" not in out
    (tmp_path / "rec_gt_val.txt").unlink()
    out = opened()
    assert "5 words" in out and out.count("no validation list") == 1


@pytest.mark.slow
def test_weights_alone_start_a_run_and_only_the_newest_checkpoints_are_kept(run, data, tmp_path, capsys):
    folder, _ = run
    train.main([*TINY, f"--train_dataset_path={data}", f"--output_dir={tmp_path}", "--epoch_size=1",
                f"--resume_ckpt={folder / 'ckpt' / 'best_acc.ckpt'}", "--train_start_epoch=0",
                "--save_checkpoint_steps=1", "--keep_checkpoint_max=2"])
    assert "weights only" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "ckpt").glob("*.ckpt")) == ["crnn-1_2.ckpt", "crnn-1_3.ckpt"]


def test_a_finished_run_is_not_resumed(run, data, tmp_path):
    folder, _ = run
    with pytest.raises(ConfigError, match="epoch_size is 2; raise epoch_size"):
        train.main([*TINY, f"--train_dataset_path={data}", f"--output_dir={tmp_path}", "--epoch_size=2",
                    f"--resume_ckpt={folder / 'ckpt' / 'crnn-2_3.ckpt'}"])


def test_v1_by_the_recipe_of_the_model_zoo(data, tmp_path, capsys):
    code = train.main(["--device_target=CPU", "--model_version=V1", "--batch_size=12", "--hidden_size=16",
                       "--loss_scale=dynamic", "--epoch_size=1", "--show_progress=never",
                       f"--train_dataset_path={data}", f"--output_dir={tmp_path}", "--run_eval=True",
                       f"--train_eval_dataset_path={data}", "--train_eval_dataset=synth",
                       "--eval_all_saved_ckpts=True"])
    out = capsys.readouterr().out
    assert code == 0 and "crnn-1_2.ckpt, epoch: 1, acc: " in out, "the saved checkpoint is evaluated by its name too"
    assert read_checkpoint(str(tmp_path / "ckpt" / "crnn-1_2.ckpt")).model_version == "V1"
    losses = re.findall(r"loss is ([\d.]+)", out)
    assert 5 < float(losses[0]) < 500, "the mean over the images, not the sum"


@pytest.mark.slow
def test_a_run_that_keeps_the_ratio_tells_its_checkpoint(data, tmp_path):
    train.main([*TINY, "--keep_ratio=True", "--bucket_widths=64,128", f"--train_dataset_path={data}",
                f"--output_dir={tmp_path}", "--epoch_size=1"])
    info = read_checkpoint(str(tmp_path / "ckpt" / "crnn-1_3.ckpt")).info
    assert (info["keep_ratio"], info["bucket_widths"]) == (True, "64,128")


def test_programs_keep_the_ratio_as_the_checkpoint_says(run, data, tmp_path, capsys):
    """eval.py, in batches with an image of each width, and predict.py read the same."""
    import cv2
    weights = read_checkpoint(str(run[0] / "ckpt" / "best_acc.ckpt"))
    network = build_network("V2", 37, hidden_size=16)
    load_weights(network, weights)
    write_checkpoint(tmp_path / "wide.ckpt", network, {**weights.info, "keep_ratio": True, "bucket_widths": "64,128"})
    checkpoint = f"--checkpoint_path={tmp_path / 'wide.ckpt'}"
    eval_program.main(["--device_target=CPU", checkpoint, "--eval_dataset=synth", f"--eval_dataset_path={data}",
                       "--show_progress=never", "--print_predictions=True", "--batch_size=4"])
    evaluated = re.findall(r"prediction: (\w*) , truth: \w+ , confidence: ([\d.]+) , (\S+)", capsys.readouterr().out)
    paths = [str(data / name) for _, _, name in evaluated]
    assert len(paths) == 10 and len({cv2.imread(path).shape for path in paths}) > 3
    predict.main(["--device_target=CPU", "--decoder=greedy", checkpoint, *paths])
    predicted = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [text for _, text, *_ in predicted] == [text for text, _, _ in evaluated]
    for (_, _, mine, *_), (_, theirs, _) in zip(predicted, evaluated, strict=True):
        assert abs(float(mine) - float(theirs)) < 2e-3


def run_eval(run, data, capsys, *options):
    folder, _ = run
    capsys.readouterr()
    checkpoint = folder / "ckpt" / "best_acc.ckpt"
    code = eval_program.main(["--device_target=CPU", f"--checkpoint_path={checkpoint}", "--eval_dataset=synth",
                              f"--eval_dataset_path={data}", "--show_progress=never", "--print_predictions=True",
                              *options])
    return code, capsys.readouterr().out


def test_eval_is_the_same_at_any_batch_size_and_in_float32_also_after_a_bfloat16_run(run, data, capsys):
    """A batch that is not full, one that is larger than the set, and a configuration that trained in bfloat16."""
    outputs = []
    for options in (["--batch_size=3"], ["--batch_size=64"], ["--batch_size=3", "--amp=bf16"]):
        code, out = run_eval(run, data, capsys, *options)
        assert code == 0
        outputs.append(re.findall(r"prediction: .*", out))
        assert re.search(r"^correct num: \d+ , total num: 10$", out, re.M)
        assert re.search(r"^result: \{'CRNNAccuracy': [\d.]+\}$", out, re.M)
    words = [re.findall(r"prediction: (\w*) , truth: (\w+)", "\n".join(lines)) for lines in outputs]
    assert [truth for _, truth in words[0]] == [WORDS[n % len(WORDS)] for n in range(30, 40)]
    assert words[0] == words[1] and outputs[0] == outputs[2]


def test_predict(run, tmp_path, capsys):
    folder, _ = run
    import cv2
    (tmp_path / "images" / "deeper").mkdir(parents=True)
    for number, name in enumerate(["images/b.png", "images/deeper/12_Fox_4.png"]):
        cv2.imwrite(str(tmp_path / name), draw_word("fox", number))
    (tmp_path / "images" / "notes.txt").write_text("not an image, and not listed")
    picture = tmp_path / "out" / "sheet.png"
    checkpoint = folder / "ckpt" / "best_acc.ckpt"
    code = predict.main(["--device_target=CPU", f"--checkpoint_path={checkpoint}", f"--picture={picture}",
                         str(tmp_path / "images")])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert code == 0 and [line[0] for line in lines] == [str(tmp_path / "images" / "b.png"),
                                                        str(tmp_path / "images" / "deeper" / "12_Fox_4.png")]
    assert all(re.fullmatch(r"[a-z0-9]*", text) and 0 <= float(score) <= 1 for _, text, score, *_ in lines)
    assert cv2.imread(str(picture)).shape[1] > 400


def test_predict_goes_on_after_a_broken_image(run, tmp_path, capsys):
    folder, _ = run
    import cv2
    cv2.imwrite(str(tmp_path / "a.png"), draw_word("hat"))
    (tmp_path / "b.png").write_bytes(b"this is no picture")
    code = predict.main(["--device_target=CPU", f"--checkpoint_path={folder / 'ckpt' / 'best_acc.ckpt'}",
                         str(tmp_path / "b.png"), str(tmp_path / "a.png")])
    captured = capsys.readouterr()
    assert code == 1 and captured.out.startswith(str(tmp_path / "a.png") + "\t")
    assert "b.png" in captured.err and "1 of 2 images could not be read" in captured.err


def test_predict_names_files_that_are_not_utf8(tmp_path, monkeypatch, capsys):
    install(monkeypatch, ["fox"])
    write_image(tmp_path / "a.png", 0)
    (tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    assert predict.main(["--checkpoint_path=stub.ckpt", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path}/caf\\xe9.png\tfox\t")


def test_words_in_file_names(tmp_path):
    chunk = next(chunks({"train": 1}))
    for word in ("Fox", "caf\u00e9", "a_b"):
        assert known_text(chunk.path(0, word, 3)) == word
    assert known_text(chunk.path(0, "\u00e9" * 60, 3)) is None, "the name holds a part of it"
    assert known_text("fox.png") is None


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "no image given"), (["nowhere.png"], "nowhere.png does not exist"), (["{empty}"], "holds no image")])
def test_predict_bad_input(run, tmp_path, arguments, message):
    folder, _ = run
    arguments = [argument.format(empty=tmp_path) for argument in arguments]
    with pytest.raises(DataError, match=message):
        predict.main([f"--checkpoint_path={folder / 'ckpt' / 'best_acc.ckpt'}", *arguments])


@pytest.mark.parametrize(("options", "message"), [
    (["--label_dict=abc"], "was trained with label_dict"),
    (["--model_version=V1"], "was trained with model_version 'V2'"),
    (["--hidden_size=512"], "was trained with hidden_size 16")])
def test_eval_of_another_network(run, data, capsys, options, message):
    with pytest.raises(CheckpointError, match=message):
        run_eval(run, data, capsys, *options)
