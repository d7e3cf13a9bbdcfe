"""The dry run fails where it should: faults planted in a copy of the project."""
import shutil

import pytest

from tests.ascend.dry_run import DryRun
from tests.conftest import REPO

pytestmark = pytest.mark.slow
LOSS, CELL = "src/loss.py", "src/crnn_for_train.py"

FAULTS = {
    "CTC scores in float16": (
        LOSS, "ops.ctc_loss(scores, ", "ops.ctc_loss(scores.astype(ms.float16), ", [], 1, "CTCLossV2"),
    "an operator that Ascend has no kernel for": (  # the one that nn.LSTM takes on GPU and CPU
        LOSS, "total = losses.sum()",
        "total = losses.sum() + ops.LSTM(4, 8, 1, True, False, 0.0)(ops.ones((3, 2, 4)), ops.ones((1, 2, 8)), "
        "ops.ones((1, 2, 8)), ops.ones((448, 1, 1)))[0].sum()", [], 1, "needs to be supplemented with an adapter"),
    "a wrong shape where only Ascend goes": (
        CELL, "            cell.bn = new\n", "            network.vgg.conv1.bn = new\n", ["--sync_bn"], 8, "BatchNorm"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(dry_run: DryRun, tmp_path, fault):
    path, old, new, arguments, ranks, reason = FAULTS[fault]
    program = tmp_path / "program"
    for name in ("src", "tests"):
        shutil.copytree(REPO / name, program / name, ignore=shutil.ignore_patterns("__pycache__", "fixtures"))
    text = (program / path).read_text(encoding="utf-8")
    assert old in text, f"{path} no longer has {old!r}; plant the fault elsewhere"
    (program / path).write_text(text.replace(old, new), encoding="utf-8")
    outcome = dry_run(program / "tests" / "ascend" / "step.py", *arguments, folder=tmp_path, ranks=ranks,
                      program=program)
    assert outcome.code != 0 and "OUTPUTS" not in outcome.output
    assert reason in outcome.output, outcome.output[-4000:]
    print(fault, next(line for line in outcome.output.splitlines() if reason in line))
