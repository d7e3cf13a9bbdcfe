"""The configuration: defaults, files, command line, derived keys and every error message."""
import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from src.common.errors import ConfigError
from src.common.options import read_options
from src.dataset import SOURCES
from src.model_utils import config as config_module
from src.model_utils.config import load_config

# Keys and defaults that users of the model zoo's CRNN know, written down here once more on purpose.
ZOO_DEFAULTS = {
    "enable_modelarts": False, "data_url": "", "train_url": "", "checkpoint_url": "", "data_path": "/cache/data",
    "output_path": "/cache/train", "load_path": "/cache/checkpoint_path", "enable_profiling": False,
    "run_distribute": False, "model_version": "V2", "label_dict": "abcdefghijklmnopqrstuvwxyz0123456789",
    "train_dataset": "synth", "train_dataset_path": "", "max_text_length": 23, "image_width": 100, "image_height": 32,
    "batch_size": 64, "epoch_size": 10, "hidden_size": 256, "learning_rate": 0.02, "momentum": 0.95, "nesterov": True,
    "save_checkpoint": True, "save_checkpoint_steps": 1000, "keep_checkpoint_max": 30, "save_checkpoint_path": "",
    "per_print_time": 100, "class_num": 37, "input_size": 512, "num_step": 24, "use_dropout": True, "blank": 36,
    "run_eval": False, "train_eval_dataset": "svt", "train_eval_dataset_path": "", "eval_all_saved_ckpts": False,
    "save_best_ckpt": True, "eval_start_epoch": 5, "eval_interval": 1, "resume_ckpt": "", "train_start_epoch": 0,
    "eval_dataset": "svt", "eval_dataset_path": "", "checkpoint_path": "", "device_id": 0, "ckpt_file": "",
    "file_name": "crnn", "file_format": "MINDIR", "ann_file": "", "result_path": "", "dataset": "ic03",
}  # fmt: skip
OUR_DEFAULTS = {
    "device_target": "auto", "seed": 1, "num_parallel_workers": 0, "optimizer": "sgd", "weight_decay": 0.0,
    "lr_schedule": "cosine", "warmup_steps": 0, "warmup_ratio": 0.0, "min_lr": 0.0, "loss_reduction": "sum",
    "clip_norm": 10.0, "loss_scale": "auto", "aux_ce_weight": 0.0, "aux_ce_ratio": 0.15,
    "show_progress": "auto", "print_predictions": False, "output_dir": "output", "augment": "none",
    "augment_strengths": "", "show_batch": "",
}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Writes a YAML file and returns its path."""

    def write_file(text: str, name: str = "my.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def load(*argv, **options):
    """Loads with the given words."""
    return load_config([str(word) for word in argv], **options)


def message(*argv, **options) -> str:
    """The message that the given words lead to."""
    with pytest.raises(ConfigError) as caught:
        load(*argv, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults_are_the_known_ones():
    config = load()
    for name, value in {**ZOO_DEFAULTS, **OUR_DEFAULTS}.items():
        assert getattr(config, name) == value, name
        assert type(getattr(config, name)) is type(value), name
    assert load() == config and config.to_dict() == dict(config.to_dict())


def test_the_default_file_is_plain_yaml_with_the_same_values(repo):
    assert yaml.safe_load((repo / "default_config.yaml").read_text()) == load().to_dict()


def test_every_key_has_a_help_text_and_a_group(repo):
    options = read_options(repo / "default_config.yaml")
    for option in options.values():
        assert option.help.endswith("."), option.name
        assert option.group != "Options", option.name
    sets = ("synth", "ic03", "ic13", "ic15", "svt", "svtp", "cute80", "iiit5k", "list", "mlt", "lmdb")
    assert options["train_dataset"].choices == sets == tuple(sorted(SOURCES, key=sets.index))
    assert options["loss_scale"].expected() == "a number, above 0, or dynamic or auto"
    assert options["momentum"].expected() == "a number, 0 to 1"


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--batch_size=16"], "batch_size", 16),
        (["--batch_size", "16"], "batch_size", 16),
        (["--batch_size=16", "--batch_size=8"], "batch_size", 8),
        (["--learning_rate", "1e-3"], "learning_rate", 0.001),
        (["--learning_rate=1"], "learning_rate", 1.0),
        (["--nesterov=False"], "nesterov", False),
        (["--nesterov", "no"], "nesterov", False),
        (["--nesterov=0"], "nesterov", False),
        (["--run_eval=True"], "run_eval", True),
        (["--run_eval=true"], "run_eval", True),
        (["--run_eval=1"], "run_eval", True),
        (["--run_eval", "YES"], "run_eval", True),
        (["--run_eval"], "run_eval", True),
        (["--run_eval", "--batch_size=2"], "run_eval", True),
        (["--device_target=cpu"], "device_target", "CPU"),
        (["--loss_scale=dynamic"], "loss_scale", "dynamic"),
        (["--loss_scale=1024"], "loss_scale", 1024.0),
        (["--loss_scale=AUTO"], "loss_scale", "auto"),
        (["--file_name=007"], "file_name", "007"),
        (["--file_name=True"], "file_name", "True"),
        (["--file_name=a=b c"], "file_name", "a=b c"),
        (["--file_name="], "file_name", ""),
        (["--file_name", "-x"], "file_name", "-x"),
        (["--clip_norm=0"], "clip_norm", 0.0),
    ],
)
def test_command_line_values(words, name, value):
    config = load(*words)
    assert getattr(config, name) == value
    assert type(getattr(config, name)) is type(value)
    assert config.origin(name) == "command line"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--batchsize=4"], "command line: unknown key batchsize; did you mean batch_size?"),
        (["--batch-size=4"], "command line: unknown key batch-size; did you mean batch_size?"),
        (["--qqq=4"], "command line: unknown key qqq; --help lists all keys"),
        (["--confg_path=x"], "command line: unknown key confg_path; did you mean config_path?"),
        (["--batch_size=abc"], "command line: batch_size: expected a whole number, at least 1, got 'abc'"),
        (["--batch_size=1.5"], "command line: batch_size: expected a whole number, at least 1, got '1.5'"),
        (["--batch_size=0"], "command line: batch_size: expected a whole number, at least 1, got '0'"),
        (["--batch_size", "-3"], "command line: batch_size: expected a whole number, at least 1, got '-3'"),
        (["--batch_size="], "command line: batch_size: expected a whole number, at least 1, got ''"),
        (["--batch_size=" + "9" * 400], None),
        (["--learning_rate=0"], "command line: learning_rate: expected a number, above 0, got '0'"),
        (["--learning_rate=nan"], "command line: learning_rate: expected a number, above 0, got 'nan'"),
        (["--learning_rate=inf"], "command line: learning_rate: expected a number, above 0, got 'inf'"),
        (["--momentum=1.1"], "command line: momentum: expected a number, 0 to 1, got '1.1'"),
        (["--loss_scale=static"],
         "command line: loss_scale: expected a number, above 0, or dynamic or auto, got 'static'"),
        (["--nesterov=maybe"], "command line: nesterov: expected True or False, got 'maybe'"),
        (["--optimizer=lamb"], "command line: optimizer: expected one of sgd, adamw, adam, got 'lamb'"),
        (["--batch_size"], "command line: --batch_size lacks its value; write --batch_size=VALUE"),
        (["--file_name", "--batch_size=4"], "command line: --file_name lacks its value; write --file_name=VALUE"),
        (["word.png"], "command line: 'word.png' belongs to no key; write --key=value"),
        (["--config_path=a.yaml,"], "command line: --config_path=a.yaml, holds an empty file name"),
        (["--config_path=none.yaml"], "none.yaml: the configuration file cannot be read: No such file or directory"),
    ],
)
def test_command_line_errors(words, expected):
    text = message(*words)
    assert expected is None or text == expected


def test_words_outside_of_keys_and_the_double_dash():
    config = load("a.png", "--batch_size", "4", "b.png", "--", "--c.png", positional="IMAGE ...")
    assert config.arguments == ("a.png", "b.png", "--c.png")
    assert config.batch_size == 4


def test_files_are_laid_in_order_and_the_command_line_wins(write):
    first = write("batch_size: 2\nepoch_size: 3\nseed: 4\n", "first.yaml")
    second = write("epoch_size: 5\nseed: 6\n", "second.yaml")
    for words in (
        [f"--config_path={first},{second}"],
        [f"--config_path={first}", "--config_path", second],
        [f"--_config_path={first}", f"--config_path={second}"],
    ):
        config = load("--seed=7", *words)
        assert (config.batch_size, config.epoch_size, config.seed) == (2, 5, 7)
        assert config.origin("batch_size") == str(first)
        assert config.origin("epoch_size") == str(second)
        assert config.origin("seed") == "command line"
        assert config.origin("momentum") == "default"


def test_a_comma_in_the_name_of_a_file(write):
    assert load(f"--config_path={write('seed: 4', 'a,b.yaml')}").seed == 4


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("learning_rate: 1e-3", "learning_rate", 0.001),  # text to PyYAML, a number to everybody else
        ("learning_rate: 1", "learning_rate", 1.0),
        ("batch_size: '16'", "batch_size", 16),
        ("label_dict: 0123456789", "label_dict", "0123456789"),  # would be the number 123456789
        ("file_name: 007", "file_name", "007"),
        ("file_name: yes", "file_name", "yes"),
        ("file_name: \"a: b # c\"", "file_name", "a: b # c"),
        ("resume_ckpt:", "resume_ckpt", ""),
        ("resume_ckpt: null", "resume_ckpt", ""),
        ("resume_ckpt: ~", "resume_ckpt", ""),
        ("nesterov: no", "nesterov", False),
        ("nesterov: 0", "nesterov", False),
        ("{seed: 5, batch_size: 3}", "seed", 5),
        ("\ufeffseed: 5", "seed", 5),
        ("seed: 5\r\nbatch_size: 3\r\n", "seed", 5),
        ("", "seed", 1),
        ("# nothing but a comment\n", "seed", 1),
        ("---\nseed: 5\n---\nseed: 'help text'\n", "seed", 5),
    ],
)
def test_values_in_files(write, text, name, value):
    config = load("--config_path", write(text))
    assert getattr(config, name) == value
    assert type(getattr(config, name)) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 1\nbatchsize: 4", ", line 2: unknown key batchsize; did you mean batch_size?"),
        ("seed: 1\nbatch_size: four", ", line 2: batch_size: expected a whole number, at least 1, got 'four'"),
        ("batch_size:", ", line 1: batch_size: expected a whole number, at least 1, got ''"),
        ("batch_size: [4, 8]", ", line 1: batch_size: expected a whole number, at least 1, got a list"),
        ("batch_size:\n  train: 4", ", line 1: batch_size: expected a whole number, at least 1, got a group of keys"),
        ("\nseed: 1\nbatch_size: 2\nseed: 3", ", line 4: seed stands there twice, first in line 2"),
        ("optimizer: lamb", ", line 1: optimizer: expected one of sgd, adamw, adam, got 'lamb'"),
        ("- seed", ", line 1: expected lines of the form `key: value`"),
        ("just words", ", line 1: expected lines of the form `key: value`"),
        ("? [a, b]\n: 4", ", line 1: expected a line of the form `key: value`"),
        ("a: 1\n---\n---\n---\n", ": holds 4 YAML documents; at most 3 make sense: values, help, choices"),
        ("image_height: 64", ", line 1: image_height must be 32, the only height of which"),
        ("label_dict: abca", ", line 1: label_dict holds 'a' more than once"),
        ("label_dict: ''", ", line 1: label_dict must be a string"),
        (b"seed: \xff", ": not a YAML file: byte 6 is not UTF-8 text"),
        ("seed: \x01", ": not valid YAML: "),
        ("seed: *nowhere", ", line 1, column 7: not valid YAML: "),
    ],
)
def test_errors_in_files(write, text, expected):
    path = write(text)
    assert message("--config_path", path).startswith(f"{path}{expected}")


def test_a_syntax_error_tells_line_and_column(write):
    path = write("seed: 1\nbatch_size: [1, 2\nepoch_size: 3\n")
    assert message("--config_path", path).startswith(f"{path}, line 3, column 11: not valid YAML: while parsing a flow")


def test_a_folder_is_not_a_file(tmp_path):
    assert message("--config_path", tmp_path) == f"{tmp_path}: the configuration file cannot be read: Is a directory"


def test_the_old_three_document_file_loads(write, capsys):
    values = {**ZOO_DEFAULTS, "model": "lowercase", "model_version": "V1", "batch_size": 16, "output_dir": "../output/",
              "device_target": "Ascend"}  # fmt: skip
    helps = {"output_pah": "The location of the output file", "device_target": "choices"}
    path = write(yaml.safe_dump_all([values, helps, {"device_target": ["Ascend", "GPU"]}], sort_keys=False))
    config = load("--config_path", path)
    assert (config.model_version, config.batch_size, config.device_target) == ("V1", 16, "Ascend")
    assert config.output_dir == "../output/"
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1 and notes[0].startswith(f"note: {path}, line ") and "model has no effect" in notes[0]
    assert config.notes[0] in config.describe()
    assert "model" not in config.to_dict()


def test_the_retired_key_on_the_command_line(capsys):
    load("--model=lowercase")
    assert capsys.readouterr().err.startswith("note: command line: model has no effect")


def test_derived_keys_follow_their_sources(write, tmp_path):
    config = load("--label_dict=0123456789", "--image_width=160")
    assert (config.class_num, config.blank, config.num_step, config.input_size) == (11, 10, 39, 512)
    assert config.origin("num_step") == "derived"
    file = tmp_path / "characters.txt"
    file.write_text("x\ny\nz\n")
    assert load("--label_dict", file).class_num == 4
    # The same in one file, with and without the derived keys written out.
    assert load("--config_path", write("label_dict: abc")).blank == 3
    text = "label_dict: abc\nclass_num: 4\nblank: 3\nimage_width: 32\nnum_step: 7"
    assert load("--config_path", write(text)).blank == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("class_num: 38", "line 1: class_num must be 37 (the 36 characters of label_dict and the blank), not 38"),
        ("blank: 0", "line 1: blank must be 36 (the class after the last character of label_dict), not 0"),
        ("image_width: 160\nnum_step: 24", "line 2: num_step must be 39 (from image_width 160), not 24"),
        ("input_size: 256", "line 1: input_size must be 512 (fixed by the network), not 256"),
        ("label_dict: abc\nclass_num: 37", "line 2: class_num must be 4 (the 3 characters"),
    ],
)
def test_derived_keys_that_contradict(write, text, expected):
    assert expected in message("--config_path", write(text))
    words = [f"--{line.replace(': ', '=')}" for line in text.splitlines()]
    assert expected.partition(": ")[2] in message(*words)


def test_a_later_layer_may_change_the_charset_of_a_file_that_spells_its_class_count(write):
    path = write("label_dict: abc\nclass_num: 4\nblank: 3\n")
    config = load("--config_path", path, "--label_dict=abcde")
    assert (config.class_num, config.blank) == (6, 5)


def test_editing_the_default_file_itself_is_checked(monkeypatch, repo, write):
    text = (repo / "default_config.yaml").read_text()
    edited = write(text.replace("image_width: 100", "image_width: 200"))
    monkeypatch.setattr(config_module, "DEFAULT_CONFIG", edited)
    assert "num_step must be 49 (from image_width 200), not 24" in message()
    edited.write_text(text.replace("image_width: 100", "image_width: 200").replace("num_step: 24", "num_step: 49"))
    config = load()
    assert config.num_step == 49 and config.origin("image_width") == "default"
    edited.write_text(text.replace("batch_size: 64", "batch_size: 0"))
    assert "batch_size: expected a whole number, at least 1, got '0'" in message()
    edited.write_text(text.replace("num_step: 24", ""))
    assert message().endswith("key num_step is missing; put it back")
    edited.write_text(text.replace("# Range: 0 to 1\nmomentum", "# Range: between 0 and 1\nmomentum"))
    assert "cannot read the rule `Range: between 0 and 1`" in message()


def test_attributes():
    config = load()
    config.batch_size = 4
    assert config.batch_size == 4 and config.origin("batch_size") == "program"
    config.learning_rate = 1e-5
    assert config.learning_rate == 1e-5
    config.image_width = 160
    config.label_dict = "abc"
    assert (config.num_step, config.class_num, config.blank) == (39, 4, 3)
    config.checkpoint_path = Path("a") / "b.ckpt"
    assert config.checkpoint_path == str(Path("a") / "b.ckpt")
    config.checkpoint_path = None
    assert config.checkpoint_path == ""
    with pytest.raises(AttributeError, match="no key batchsize; did you mean batch_size"):
        config.batchsize = 4
    with pytest.raises(AttributeError, match="no key batchsize"):
        print(config.batchsize)
    assert not hasattr(config, "rank") and getattr(config, "rank", 0) == 0
    for name, value in (("batch_size", 0), ("batch_size", "four"), ("file_name", 7), ("num_step", 24), ("seed", 1.5)):
        with pytest.raises(ConfigError, match=name):
            setattr(config, name, value)
    assert config.batch_size == 4 and config.num_step == 39


def test_what_the_user_gave(write):
    path = write("label_dict: abc\nseed: 1\n")
    config = load("--config_path", path, "--image_width=160", "--train_start_epoch=0")
    config.batch_size = 4
    assert config.class_num == 4
    given = [name for name in config.to_dict() if config.is_given(name)]
    assert given == ["seed", "label_dict", "image_width", "train_start_epoch"], "derived and set keys do not count"
    assert config.is_on_command_line("train_start_epoch") and not config.is_on_command_line("seed")


def test_copies_are_independent():
    config = load("--batch_size=4")
    for other in (copy.deepcopy(config), copy.copy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        other.batch_size = 5
        assert other != config and config.batch_size == 4


def test_saved_files_load_to_an_equal_configuration(tmp_path):
    config = load("--label_dict=abc \"'#:é\u2028😀\\", "--learning_rate=1e-05", "--file_name=007", "--resume_ckpt=a: b",
                  "--loss_scale=dynamic", "--image_width=97", "--run_eval", "--weight_decay=1e22")  # fmt: skip
    path = tmp_path / "saved.yaml"
    config.save(path)
    again = load("--config_path", path)
    assert again == config
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert saved == {name: config.to_dict()[name] for name in (
        "label_dict", "image_width", "learning_rate", "weight_decay", "loss_scale", "resume_ckpt", "run_eval",
        "file_name")}
    assert load("--config_path", path, "--label_dict=xy").class_num == 3


def test_describe_marks_what_differs(write):
    path = write("epoch_size: 3\nmomentum: 0.95\n")
    lines = load("--config_path", path, "--label_dict=abc").describe().splitlines()
    assert f"  * epoch_size: 3  ({path}; default 10)" in lines
    assert "  * label_dict: 'abc'  (command line; default 'abcdefghijklmnopqrstuvwxyz0123456789')" in lines
    assert "  * class_num: 4  (derived; default 37)" in lines
    assert "    momentum: 0.95" in lines
    assert sum(line.startswith("  *") for line in lines) == 4  # blank is the fourth
    names = {line[4:].partition(":")[0] for line in lines if line.startswith(("    ", "  * "))}
    assert names == set(load().to_dict())


def test_fallback_overlay(repo, capsys, tmp_path, write):
    fallback = {"fallback_overlay": "configs/quickstart.yaml"}
    config = load("--epoch_size=7", **fallback)
    assert config.used_fallback and config.epoch_size == 7
    assert config.optimizer == "adamw" and config.origin("optimizer").endswith("quickstart.yaml")
    assert "no train_dataset_path given" in capsys.readouterr().err
    assert "no train_dataset_path given" in config.describe()
    for words in (["--train_dataset_path=x"], [f"--config_path={write('seed: 2')}"]):
        config = load(*words, **fallback)
        assert not config.used_fallback and config.optimizer == "sgd"
    assert load("--train_dataset_path=", **fallback).used_fallback
    keys = ("eval_dataset_path", "checkpoint_path")
    assert not load("--checkpoint_path=x", fallback_unless=keys, **fallback).used_fallback
    assert load("--train_dataset_path=x", fallback_unless=keys, **fallback).used_fallback
    assert not load().used_fallback


def test_every_recipe_loads_and_holds_only_what_differs(repo):
    recipes = sorted((repo / "configs").glob("*.yaml"))
    assert recipes
    for path in recipes:
        config = load("--config_path", path)
        assert config != load(), path


HELP = """
import sys, time
sys.argv = ["train.py", "--batch_size=oops", "--help"]
from src.model_utils.config import load_config
try:
    load_config(None, description="Trains a network.", positional="IMAGE ...")
except SystemExit as stop:
    assert stop.code == 0, stop.code
assert not {"mindspore", "numpy", "cv2"} & set(sys.modules), "--help must stay light"
print(time.process_time(), file=sys.stderr)
"""


def test_help_lists_every_key_and_is_quick(repo):
    done = subprocess.run([sys.executable, "-c", HELP], cwd=repo, capture_output=True, text=True, check=True)
    assert float(done.stderr) < 0.5
    text = " ".join(done.stdout.split())
    assert done.stdout.startswith("usage: train.py [--key=value ...] IMAGE ...\n\nTrains a network.\n")
    for option in read_options(repo / "default_config.yaml").values():
        assert f"--{option.name} " in text
        assert option.help in text
        for choice in option.choices:
            assert choice in text
    assert "Choices: sgd, adamw, adam. Default: sgd." in text
    assert "Range: at least 1. Default: 64." in text
    assert all(len(line) <= 120 for line in done.stdout.splitlines())


def test_nothing_happens_at_import(repo):
    code = "import sys; sys.argv = ['x', '--nonsense=1']; import src.model_utils.config as c; print(len(sys.modules))"
    subprocess.run([sys.executable, "-c", code], cwd=repo, check=True, capture_output=True)
