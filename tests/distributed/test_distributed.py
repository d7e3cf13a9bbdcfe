"""Two ranks on the CPU against one process: the same weights, losses and readings; stopping; a rank that dies."""
import json
from types import SimpleNamespace

import mindspore as ms
import numpy as np
import pytest

from src.common.errors import ConfigError, CRNNError
from src.common.system import available_cores
from src.crnn import build_network
from src.crnn_for_train import synchronise_batch_norm
from src.distributed import ranks as ranks_module
from src.distributed.ranks import ALONE, Ranks, quiet_unless_first, share_of_cores
from src.model_utils.config import load_config
from src.model_utils.context import set_up_context
from src.network.checkpoint import read_checkpoint, write_checkpoint
from src.training import setup
from tests.conftest import REPO
from tests.distributed_worker import evaluate, frozen_run
from tests.ranks import run_ranks
from tests.words import write_synth_set

WORKER = str(REPO / "tests" / "distributed_worker.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_synth_set(tmp_path_factory.mktemp("synth") / "set", train=24, test=11)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Weights whose class scores are far apart, so that there is something to read."""
    ms.set_seed(5)
    net = build_network("V2", 37, 16)
    last = net.rnn[1].embedding.weight
    last.set_data(ms.Tensor(np.random.default_rng(5).normal(0, 20, last.shape), ms.float32))
    path = tmp_path_factory.mktemp("start") / "start.ckpt"
    write_checkpoint(path, net, {})
    return path


def run_pair(mode, data, folder) -> SimpleNamespace:
    """What two ranks found; see distributed_worker.main."""
    codes = run_ranks([WORKER, str(folder), str(data), mode], folder)
    logs = [(folder / f"rank_{rank}.log").read_text() for rank in (0, 1)]
    assert codes == [0, 0], "\n".join(logs)
    return SimpleNamespace(folder=folder, logs=logs,
                           ranks=[json.loads((folder / f"results_{rank}.json").read_text()) for rank in (0, 1)])


@pytest.fixture(scope="module")
def pair(data, tmp_path_factory):
    """Two ranks that talk to each other and train with frozen statistics."""
    found = run_pair("train", data, tmp_path_factory.mktemp("pair"))
    found.weights = [dict(np.load(found.folder / f"weights_{rank}.npz")) for rank in (0, 1)]
    return found


@pytest.fixture(scope="module")
def programs(data, start, tmp_path_factory):
    """Two ranks that run eval.py, then train.py until a signal stops them."""
    folder = tmp_path_factory.mktemp("programs")
    (folder / "start.ckpt").write_bytes(start.read_bytes())
    return run_pair("programs", data, folder)


def test_what_ranks_tell_each_other(pair):
    for rank, result in enumerate(pair.ranks):
        assert (result["rank"], result["size"], result["total"]) == (rank, 2, [3.0, 1.0])
        assert result["gather"] == [{"rank": n, "text": "wörd \udcff" * 50 * n, "third": 1 / 3} for n in (0, 1)]
        assert result["in_turn"] == (rank == 1), "rank 0 came first"
        total = [[[3.0] * 3] * 2, [0.0, 2.0, 4.0, 6.0], [3.0, 1.0]]
        assert result["reduced"] == [total, [[[1.5] * 3] * 2, [0.0, 1.0, 2.0, 3.0], [3.0, 1.0]]], "numbers are added up"


def test_ranks_divide_the_cores_of_their_host(pair):
    assert [result["cores"] for result in pair.ranks] == [max(1, available_cores() // 2)] * 2


@pytest.mark.parametrize(("own", "others", "share"), [
    (range(192), [("here", range(192))] * 7, 24),
    (range(192), [("there", range(192))] * 8, 192),  # another host
    (range(24), [("here", range(24, 48)), ("here", range(48, 72))], 24),  # the launcher has divided them
    (range(0, 6), [("here", range(3, 9))], 4),
    (range(2), [("here", range(2))] * 7, 1)])
def test_a_rank_counts_on_its_share_of_the_cores(monkeypatch, own, others, share):
    class Several(Ranks):
        def gather(self, value):
            return [value, *([host, list(cores)] for host, cores in others)]

    monkeypatch.setattr(ranks_module, "usable_cores", lambda: list(own))
    monkeypatch.setattr(ranks_module, "_host", lambda: "here")
    assert share_of_cores(Several(0, 1 + len(others))) == share
    assert share_of_cores(ALONE) == len(own)


def test_workers_are_divided_by_the_ranks_unless_their_number_is_given(data, monkeypatch):
    monkeypatch.setattr(setup, "share_of_cores", lambda ranks: 24)
    for options, workers in (([], 24), (["--num_parallel_workers=3"], 3)):
        config = load_config(["--train_dataset=synth", f"--train_dataset_path={data}", "--batch_size=3", *options])
        assert setup.training_data(config, Ranks(1, 2)).workers == workers


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_printed_losses_are_means_over_the_images_of_all_ranks(reduction):
    """The slow test below has it of two real ranks, for mean."""
    of_images = np.array([[1.0, 2, 6], [5, 7, 9]])
    of_ranks = getattr(of_images, reduction)(axis=1)
    config = load_config([f"--loss_reduction={reduction}", "--batch_size=3"])
    assert of_ranks.sum() / setup.loss_divisor(config, Ranks(1, 2)) == of_images.mean()


def test_all_take_over_the_statistics_of_rank_0(pair):
    for result in pair.ranks:
        assert len(result["statistics"]) == 14
        assert all(values == [len(name)] for name, values in result["statistics"].items())


def test_two_ranks_train_like_one_process_with_both_batches(pair, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone = frozen_run(str(data), ALONE, 6)
    both = [result["run"] for result in pair.ranks]
    assert len(alone["seen"]) == 20 and both[0]["losses"] == both[1]["losses"]
    for step, batch in enumerate(alone["seen"]):
        assert sorted(batch) == sorted(both[0]["seen"][step] + both[1]["seen"][step])
    epoch = sum(both[0]["seen"][:4] + both[1]["seen"][:4], [])
    assert sorted(epoch) == list(range(24)), "every sample once an epoch"
    np.testing.assert_allclose(both[0]["losses"], alone["losses"], rtol=1e-4)
    assert alone["losses"][-1] < 0.9 * alone["losses"][0], "a run that learns nothing would prove nothing"
    for name, value in alone["weights"].items():
        np.testing.assert_array_equal(pair.weights[0][name], pair.weights[1][name], err_msg=name)
        np.testing.assert_allclose(pair.weights[0][name], value, atol=1e-5, err_msg=name)


def test_all_ranks_evaluate_with_the_statistics_of_rank_0(pair):
    first, second = (result["run"]["statistics"] for result in pair.ranks)
    assert len(first) == 14 and first == second
    assert not np.any(first["vgg.conv1.bn.moving_mean"]), "rank 1 had added 1 to its own"


@pytest.mark.slow
def test_a_shared_evaluation_reads_every_word_once(programs, data, start, tmp_path, capsys):
    evaluate(str(start), str(data), str(tmp_path / "alone.tsv"))
    printed = capsys.readouterr().out
    tables = [[line.split("\t") for line in path.read_text().splitlines()]
              for path in (tmp_path / "alone.tsv", programs.folder / "shared.tsv")]
    assert len(tables[0]) == 12 and [row[:3] for row in tables[0]] == [row[:3] for row in tables[1]]
    assert len({row[3] for row in tables[0]}) > 8, "images alike would prove nothing"
    confidences = [[float(row[3]) for row in table[1:]] for table in tables]
    np.testing.assert_allclose(*confidences, atol=1e-4)
    ends = [line for line in printed.splitlines() if line.startswith(("correct num", "word accuracy"))]
    assert len(ends) == 2 and all(line in programs.logs[0] for line in ends)


@pytest.mark.slow
def test_a_loss_line_is_the_mean_over_the_images_of_all_ranks(programs):
    stopped = [result["stopped"] for result in programs.ranks]
    means = np.mean([part["own losses"] for part in stopped], axis=0)
    assert len(means) == 2 and stopped[0]["own losses"] != stopped[1]["own losses"]
    for part in stopped:
        np.testing.assert_allclose([loss for _, loss in part["steps"]], means, rtol=1e-6)


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_both_after_the_same_step(programs):
    stopped = [result["stopped"] for result in programs.ranks]
    assert [part["code"] for part in stopped] == [143, 143]
    assert [step for step, _ in stopped[0]["steps"]] == [1, 2] and stopped[0]["steps"] == stopped[1]["steps"]
    assert [part["written"] for part in stopped] == [["crnn-1_2.ckpt"], []], "rank 0 alone writes"
    folder = programs.folder / "stopped" / "ckpt"
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "crnn-1_2.ckpt"]
    assert read_checkpoint(str(folder / "crnn-1_2.ckpt")).info["step_in_epoch"] == 2
    assert "stopped by SIGTERM after step 2 of epoch 1" in programs.logs[0] and "--resume_ckpt=" in programs.logs[0]
    later = [result["stopped later"] for result in programs.ranks]
    assert [part["code"] for part in later] == [143, 143] and later[0]["steps"] == later[1]["steps"]
    assert [step for step, _ in later[0]["steps"]] == [1, 2, 3, 4], "asked with step 4, which ends the epoch"
    assert later[0]["steps"][:2] == stopped[0]["steps"] and later[0]["written"] == ["crnn-1_4.ckpt"]
    quiet = programs.logs[1].rpartition("rank 1 of 2: prints errors and warnings only")
    assert quiet[1] and "loss is" not in quiet[2]
    assert "Traceback" not in "".join(programs.logs)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["die", "hang"])
def test_a_rank_that_dies_or_hangs_ends_the_others(data, tmp_path, how):
    """One that hangs still answers the scheduler; the other one waits for it as long as the variable says."""
    codes = run_ranks([WORKER, str(tmp_path), str(data), how], tmp_path, limit=180, MS_CPU_COMM_OP_TIMEOUT="5")
    log = (tmp_path / "rank_0.log").read_text()
    assert codes == [2, 9], log
    assert "error: rank 0: another rank does not answer" in log and "Traceback" not in log


def test_a_process_alone():
    assert ALONE.total(1, 2.5) == [1, 2.5] and ALONE.gather("a") == ["a"] and ALONE.in_turn(lambda: 7) == 7
    assert ALONE.is_first and ALONE.is_alone


def test_only_rank_0_prints(capsys):
    for rank in (0, 1):
        with quiet_unless_first(Ranks(rank, 2)):
            print("the log")
    assert capsys.readouterr().out == "the log\nrank 1 of 2: prints errors and warnings only, rank 0 has the log\n"


def test_other_failures_keep_their_name():
    with pytest.raises(RuntimeError, match="no memory"), Ranks(0, 2).watch():
        raise RuntimeError("no memory")
    with pytest.raises(CRNNError, match="rank 1: another rank does not answer"), Ranks(1, 2).watch():
        raise RuntimeError("Launch kernel failed: Default/AllReduce-op0")


def test_without_a_launcher(monkeypatch):
    for name in ("MS_ROLE", "RANK_TABLE_FILE", "MINDSPORE_HCCL_CONFIG_PATH", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="run_distribute needs a launcher"):
        set_up_context(load_config(["--run_distribute=True"]))


@pytest.mark.parametrize(("device", "ranks", "message"), [
    ("CPU", Ranks(0, 2), "sync_bn needs Ascend devices"), ("GPU", Ranks(0, 2), "sync_bn needs Ascend devices"),
    ("Ascend", ALONE, "sync_bn is for training on several devices")])
def test_synchronised_batch_norm_where_it_cannot_be(device, ranks, message):
    with pytest.raises(ConfigError, match=message):
        synchronise_batch_norm(build_network("V2", 37, 8), device, ranks)


@pytest.fixture
def pynative():
    """PyNative mode, which needs no compilation, for the length of a test."""
    mode = ms.get_context("mode")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=mode)


@pytest.mark.usefixtures("pynative")
def test_a_network_with_synchronised_batch_norm_is_the_same_network():
    """As far as a CPU can tell: reading gives the same scores, and training moves the very same parameters."""
    net, random = build_network("V2", 37, 8).set_train(False), np.random.default_rng(0)
    for parameter in net.get_parameters():
        if ".bn." in parameter.name:
            parameter.set_data(ms.Tensor(random.uniform(0.5, 1.5, parameter.shape), ms.float32))
    parameters, image = list(net.get_parameters()), ms.Tensor(random.normal(size=(2, 3, 32, 24)), ms.float32)
    names, before, old = [p.name for p in parameters], net(image).asnumpy(), net.vgg.conv3.bn
    synchronise_batch_norm(net, "Ascend", Ranks(0, 8))
    assert [p.name for p in net.get_parameters()] == names
    assert all(new is same for new, same in zip(net.get_parameters(), parameters, strict=True))
    np.testing.assert_allclose(net.set_train(False)(image).asnumpy(), before, atol=1e-5 * np.abs(before).max())
    stages = [getattr(net.vgg, f"conv{number}").bn for number in range(1, 8)]
    assert all(isinstance(stage, ms.nn.SyncBatchNorm) and stage.momentum == old.momentum for stage in stages)
