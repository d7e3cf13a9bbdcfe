"""What set_up_context does to a fresh process, and what it refuses."""
import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from src.common.errors import ConfigError
from src.common.system import cpu_facts
from src.model_utils import context
from src.model_utils.config import load_config
from src.onednn import available
from tests.conftest import REPO
from tests.words import write_synth_set

PROGRAM = """
import json, os, sys
sys.path.insert(0, {repo!r})
from src.model_utils.config import load_config
from src.model_utils.context import set_up_context
config = load_config(sys.argv[1:])
line = set_up_context(config, own_operators={own})
import mindspore as ms
print(json.dumps([line, config.device_target, config.cpu_operators, os.environ.get("ONEDNN_MAX_CPU_ISA"),
                  ms.get_context("mode") == ms.GRAPH_MODE]))
"""


def run(tmp_path, *options, own=False, **environment):
    """Runs the program from another folder, without the cap this test process has."""
    variables = {key: value for key, value in os.environ.items() if key != "ONEDNN_MAX_CPU_ISA"} | environment
    done = subprocess.run([sys.executable, "-c", PROGRAM.format(repo=str(REPO), own=own), *options], cwd=tmp_path,
                          env=variables, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


needs_avx512 = pytest.mark.skipif("avx512f" not in cpu_facts().get("flags", "")
                                  or tuple(map(int, version("mindspore").split(".")[:2])) < (2, 9),
                                  reason="the cap is for CPUs with AVX-512 and MindSpore 2.9 and later")


@needs_avx512
def test_the_cap_is_set_from_anywhere(tmp_path):
    line, device, operators, cap, graph = run(tmp_path)
    assert (device, operators, cap, graph) == ("CPU", "stock", "AVX2", True)
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in line


@needs_avx512
def test_the_cap_can_be_overridden(tmp_path):
    assert run(tmp_path, ONEDNN_MAX_CPU_ISA="AVX512_CORE")[3] == "AVX512_CORE"
    assert run(tmp_path, CRNN_NO_CPU_CAP="1")[3] is None


@needs_avx512
def test_without_own_operators_there_is_the_cap(tmp_path):
    line, _, operators, cap, _ = run(tmp_path, own=True, CRNN_ONEDNN="0")
    assert (operators, cap) == ("stock", "AVX2") and "own operators not used (CRNN_ONEDNN=0" in line
    assert run(tmp_path, "--cpu_operators=stock", own=True)[2:4] == ["stock", "AVX2"]


def test_float16_on_the_cpu_is_for_mindspores_operators(tmp_path):
    usable, reason = available()
    if not usable:
        pytest.skip(reason)
    line, _, operators, _, _ = run(tmp_path, "--precision=float16", "--device_target=CPU", own=True)
    assert operators == "stock" and "own operators not used (they have no float16)" in line


def test_device_that_is_not_there(tmp_path):
    message = r"^device_target Ascend, device 0 cannot be used here \(.*\); choose another"
    with pytest.raises(ConfigError, match=message):
        context.set_up_context(load_config(["--device_target=Ascend"]))


@pytest.mark.parametrize(("options", "message"), [
    (["--amp=bf16", "--cpu_operators=stock", "--device_target=CPU"], "amp bf16 on the CPU needs cpu_operators auto"),
    (["--precision=bfloat16", "--cpu_operators=stock", "--device_target=CPU"],
     "precision bfloat16 on the CPU needs .*; set --precision=auto")])
def test_bf16_where_it_cannot_be(options, message):
    with pytest.raises(ConfigError, match=message):
        context.speed_up(None, load_config(options), "bfloat16")


@pytest.mark.parametrize("lacking", ["CPU", "compiler"])
def test_training_in_bf16_where_it_cannot_be_ends_before_it_begins(tmp_path, lacking):
    """A CPU without bfloat16 is any CPU under oneDNN's cap; without a compiler there are no operators of our own."""
    variables = {"CPU": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
                 "compiler": {"CXX": "/nonexistent/g++", "XDG_CACHE_HOME": str(tmp_path / "cache")}}[lacking]
    data = write_synth_set(tmp_path / "set")
    done = subprocess.run([sys.executable, "train.py", "--config_path=configs/synth_cpu.yaml", "--batch_size=8",
                           f"--train_dataset_path={data}", f"--output_dir={tmp_path / 'out'}", "--run_eval=False"],
                          cwd=REPO, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout + done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("compiling the CPU accelerator")]
    assert len(said) == 1 and said[0].startswith("error: amp bf16 ") and said[0].endswith("set --amp=none")
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"ckpt", "log.txt"}, "no checkpoint, the reason"
    assert (tmp_path / "out" / "log.txt").read_text().splitlines()[-1] == said[0]


def test_modelarts_in_a_program_that_copies_nothing():
    with pytest.raises(ConfigError, match="enable_modelarts is for train.py, eval.py and export.py"):
        context.set_up_context(load_config(["--enable_modelarts=True"]))
