"""The train cell and the network compile for Ascend 910B, on 1 device and as one of 8, with every operator on it.

Values are not computed in the dry run, and CANN's own tables of types are not asked; docs/ascend.md says what is
compared with them by hand.
"""
import json

import pytest

from tests.ascend.dry_run import DryRun, Outcome
from tests.conftest import REPO

pytestmark = pytest.mark.slow
STEP = REPO / "tests" / "ascend" / "step.py"
ON_THE_DEVICE = {"opapi_kernel", "acl_kernel", "hccl_kernel", "rt_kernel"}
FOUND = [["Float32", [8]]]

CASES = {
    "V2, model zoo's recipe": ["--frame_loss"],
    "V2, two widths, adamw": ["--widths", "64", "256", "--optimizer=adamw", "--loss_scale=dynamic", "--reduction=mean"],
    "V1, dropout masks, adam": ["--version=V1", "--masks", "--optimizer=adam", "--loss_scale=dynamic", "--frame_loss"],
    "V1, MindSpore's dropout": ["--version=V1"],
    "V2, fixed loss scale": ["--loss_scale=128", "--optimizer=adam", "--reduction=mean"],
    "V2, float32": ["--precision=float32"],
    "V2, bfloat16": ["--precision=bfloat16", "--optimizer=adamw", "--reduction=mean"],
}
SHARED = {
    "V2, sync_bn": ["--sync_bn", "--optimizer=adamw", "--loss_scale=dynamic", "--reduction=mean", "--frame_loss"],
    "V2, model zoo's recipe": ["--frame_loss"],
    "V1": ["--version=V1", "--masks"],
}


def outputs(outcome: Outcome) -> list[list]:
    return [json.loads(line.split(maxsplit=1)[1]) for line in outcome.output.splitlines() if line[:7] == "OUTPUTS"]


def assert_on_the_device(outcome: Outcome) -> None:
    """No operator runs on the host; with a host kernel, "host_kernel" or "cpu_kernel" would be among the kinds."""
    assert set(outcome.kernels.values()) <= ON_THE_DEVICE
    assert {"Conv2D", "MaxPool", "DynamicRNN"} <= set(outcome.kernels)


@pytest.mark.parametrize("case", CASES)
def test_training_on_one_device(dry_run: DryRun, tmp_path, case):
    outcome = dry_run(STEP, *CASES[case], folder=tmp_path)
    outcome.assert_compiled()
    assert_on_the_device(outcome)
    assert outputs(outcome) and all(found == FOUND for found in outputs(outcome))
    assert {"CTCLossV2", "CTCLossV2Grad", "DynamicRNNGrad"} <= set(outcome.kernels)
    print(case, json.dumps(outcome.kernels, sort_keys=True))


@pytest.mark.parametrize("case", SHARED)
def test_training_as_one_of_eight(dry_run: DryRun, tmp_path, case):
    outcome = dry_run(STEP, *SHARED[case], folder=tmp_path, ranks=8, rank=3)
    outcome.assert_compiled()
    assert_on_the_device(outcome)
    assert outputs(outcome) == [FOUND]
    assert outcome.kernels["AllReduce"] == "hccl_kernel"
    print(case, json.dumps(outcome.kernels, sort_keys=True))


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_evaluation(dry_run: DryRun, tmp_path, version):
    outcome = dry_run(STEP, "--evaluate", f"--version={version}", "--widths", "100", "512", folder=tmp_path)
    outcome.assert_compiled()
    assert_on_the_device(outcome)
    assert outputs(outcome) == [[["Float16", [24, 4, 37]]], [["Float16", [127, 4, 37]]]]
