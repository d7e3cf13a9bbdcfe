"""What the ranks of test_distributed.py run, and the same by one process for comparison."""
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

COMMON = ["--device_target=CPU", "--show_progress=never", "--num_parallel_workers=1", "--hidden_size=16",
          "--train_dataset=synth"]


def frozen_run(data: str, ranks, batch_size: int, *options: str) -> dict:
    """Trains V1 for 20 steps with the statistics of batch norm frozen; everything else is as train.py does it.

    Before an evaluation the statistics of this rank are made its own: the number of the rank is added to them.
    """
    from src.crnn import Conv
    from src.model_utils.config import load_config
    from src.model_utils.context import set_up_context
    from src.training.setup import build_trainer

    config = load_config([*COMMON, "--cpu_operators=stock", "--model_version=V1", "--epoch_size=5",
                          f"--batch_size={batch_size}", f"--train_dataset_path={data}", "--aux_ce_weight=1",
                          "--per_print_time=1", "--save_checkpoint=False", "--learning_rate=0.001", *options])
    set_up_context(config)
    trainer, start = build_trainer(config, Path("nowhere"), ranks)
    for _, cell in trainer.cell.cells_and_names():
        if isinstance(cell, Conv):
            cell.set_train(False)
    seen, losses = [], []
    make = trainer.dataset.epoch

    def epoch(*position):
        for batch in make(*position):
            seen.append(batch.index.tolist())
            yield batch

    trainer.dataset.epoch = epoch
    note = trainer.monitor.on_step_end
    trainer.monitor.on_step_end = lambda *step: (losses.append(step[2].loss), note(*step))
    statistics: dict[str, list] = {}
    if trainer.evaluation is not None:
        trainer.evaluation.evaluate = with_own_statistics(trainer.evaluation.evaluate, trainer.cell, ranks, statistics)
    assert trainer.run(start) == 0
    weights = {p.name: p.asnumpy() for p in trainer.cell.network.get_parameters()}
    return {"seen": seen, "losses": losses, "weights": weights, "statistics": statistics}


def with_own_statistics(evaluate: Callable, cell, ranks, found: dict[str, list]) -> Callable:
    """An evaluation before which each rank's statistics become its own; `found` gets those that were evaluated."""
    from mindspore import Tensor

    def run():
        moving = [p for p in cell.network.get_parameters() if "moving" in p.name]
        for parameter in moving:
            parameter.set_data(Tensor(parameter.asnumpy() + np.float32(ranks.rank)))
        result = evaluate()
        found.update({p.name: p.asnumpy().tolist() for p in moving})
        return result

    return run


def evaluate(checkpoint: str, data: str, predictions: str, *options: str) -> None:
    """Reads the test words."""
    import eval as eval_program

    code = eval_program.main([*COMMON[:3], "--cpu_operators=stock", f"--checkpoint_path={checkpoint}",
                              "--eval_dataset=synth", f"--eval_dataset_path={data}", "--batch_size=2",
                              f"--save_predictions={predictions}", *options])
    assert code == 0


def stopped_run(data: str, folder: str, rank: int, ahead: int) -> dict:
    """train.py with our own operators and averaged losses; rank 1 alone gets a SIGTERM when it has read its first step.

    Results are read `ahead` steps later.
    """
    import train
    from src.crnn_for_train import TrainOneStepCellWithGradClip
    from src.model_utils.callback import TrainMonitor
    from src.network import checkpoint_folder

    written, steps, own = [], [], []
    note, write = TrainMonitor.on_step_end, checkpoint_folder.write_checkpoint
    step_of = TrainOneStepCellWithGradClip.__call__

    def on_step_end(self, epoch, step, result):
        steps.append([step, result.loss])
        if rank == 1 and step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        note(self, epoch, step, result)

    def write_checkpoint(path, *rest):
        written.append(Path(path).name)
        write(path, *rest)

    def step(self, *inputs):
        own.append(float(self.network(*inputs[:4])[1].asnumpy()))
        return step_of(self, *inputs)

    TrainMonitor.on_step_end, checkpoint_folder.write_checkpoint = on_step_end, write_checkpoint
    TrainOneStepCellWithGradClip.__call__ = step
    try:
        code = train.main([*COMMON, "--run_distribute=True", "--batch_size=3", "--epoch_size=2", "--optimizer=adamw",
                           "--loss_reduction=mean", f"--train_dataset_path={data}", f"--steps_ahead={ahead}",
                           f"--output_dir={folder}"])
    finally:
        TrainMonitor.on_step_end, checkpoint_folder.write_checkpoint = note, write
        TrainOneStepCellWithGradClip.__call__ = step_of
    return {"code": code, "steps": steps, "own losses": own, "written": written}


def main(folder: Path, data: str, mode: str) -> None:
    """Runs in every rank; results go to files."""
    from src.crnn import build_network
    from src.crnn_for_train import GradientReducer
    from src.distributed.communication import ranks_of, take_over_statistics
    from src.distributed.ranks import share_of_cores
    from src.model_utils.config import load_config
    from src.model_utils.context import set_up_context

    config = load_config([*COMMON, "--run_distribute=True", "--cpu_operators=stock"])
    set_up_context(config)
    ranks = ranks_of(config)
    if mode in ("die", "hang") and ranks.rank == 1:
        time.sleep(40 if mode == "hang" else 0)
        os._exit(9)
    results = {"rank": ranks.rank, "size": ranks.size}
    if mode == "programs":
        evaluate(str(folder / "start.ckpt"), data, str(folder / "shared.tsv"), "--run_distribute=True")
        results["stopped"] = stopped_run(data, str(folder / "stopped"), ranks.rank, 0)
        results["stopped later"] = stopped_run(data, str(folder / "later"), ranks.rank, 2)
        (folder / f"results_{ranks.rank}.json").write_text(json.dumps(results))
        return
    results["total"] = ranks.total(ranks.rank + 1, 0.5)
    results["gather"] = ranks.gather({"rank": ranks.rank, "text": "wörd \udcff" * 50 * ranks.rank, "third": 1 / 3})
    results["cores"] = share_of_cores(ranks)
    marker = folder / "marker"
    results["in_turn"] = ranks.in_turn(lambda: marker.exists() or marker.write_text("here") == 0)
    from mindspore import Tensor
    gradients = (Tensor(np.full((2, 3), ranks.rank + 1, np.float32)), Tensor(np.arange(4, dtype=np.float32)))
    numbers = Tensor(np.array([ranks.rank + 1, 0.5], np.float32))
    reduced = [GradientReducer(ranks.size, mean)(gradients, numbers) for mean in (False, True)]
    results["reduced"] = [[value.asnumpy().tolist() for value in (*parts, sums)] for parts, sums in reduced]
    network = build_network("V2", 37, 8)
    for parameter in network.get_parameters():
        if "moving" in parameter.name:
            parameter.set_data(Tensor(np.full(parameter.shape, ranks.rank + len(parameter.name), np.float32)))
    take_over_statistics(network, ranks)
    results["statistics"] = {p.name: np.unique(p.asnumpy()).tolist() for p in network.get_parameters()
                             if "moving" in p.name}
    run = frozen_run(data, ranks, 3, "--run_distribute=True", "--run_eval=True", "--train_eval_dataset=synth",
                     f"--train_eval_dataset_path={data}", "--eval_start_epoch=5", "--save_best_ckpt=False")
    np.savez(folder / f"weights_{ranks.rank}.npz", **run.pop("weights"))
    results["run"] = run
    (folder / f"results_{ranks.rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    from src.common.errors import run_main

    run_main(lambda _: main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
