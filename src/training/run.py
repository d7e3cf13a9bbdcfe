"""The body of train.py: a whole training run as configured."""
import os
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from mindspore import profiler

from src.data.embedded import fill_in_data
from src.distributed.communication import ranks_of
from src.distributed.ranks import quiet_unless_first
from src.model_utils.config import Config
from src.training.folder import claimed
from src.training.records import Metrics, logging_to
from src.training.resume import open_resumed
from src.training.setup import build_trainer


def run(config: Config) -> int:
    """Trains as configured; the context is set up.

    Returns:
        The exit code: 0; 128 + n after signal n; 1 where training ended but its last or best checkpoint could not be
        written.

    Raises:
        CRNNError: an option, the data or a checkpoint cannot be used, or training cannot go on.
    """
    ranks = ranks_of(config)
    with quiet_unless_first(ranks):
        ranks.in_turn(lambda: _fill_in(config))
        folder, output = checkpoint_folder(config), Path(config.output_dir)
        resumed = open_resumed(config)
        goes_on = resumed.goes_on_in(folder, config)
        with ExitStack() as stack:
            ranks.in_turn(lambda: stack.enter_context(claimed(folder, goes_on)) if ranks.is_first else None)
            records = config.record_run and ranks.is_first
            if records:
                stack.enter_context(logging_to(output, goes_on))
            trainer, start = build_trainer(config, folder, ranks, resumed)
            print(config.describe(), flush=True)
            if ranks.is_first:
                config.save(folder / "config.yaml")
            if records:
                done = start.epoch * trainer.dataset.get_dataset_size() + start.step
                metrics = stack.enter_context(Metrics(output, config.per_print_time, config.batch_size * ranks.size,
                                                      goes_on, done, config.tensorboard))
                trainer.record_to(metrics)
            with _profile(config):
                stopped_by = trainer.run(start)
            if records and not stopped_by:
                print(metrics.where(), flush=True)
    if stopped_by:
        return 128 + stopped_by
    return 1 if trainer.is_incomplete() else 0


def checkpoint_folder(config: Config) -> Path:
    """Where the checkpoints of a run go."""
    return Path(config.save_checkpoint_path or os.path.join(config.output_dir, "ckpt"))


def _fill_in(config: Config) -> None:
    """Takes the embedded words where no data are given."""
    fill_in_data(config, "train_dataset")
    if config.run_eval:
        fill_in_data(config, "train_eval_dataset")


def _profile(config: Config) -> AbstractContextManager:
    """Records a profile into output_dir/profile when enable_profiling asks for it; otherwise does nothing."""
    if not config.enable_profiling:
        return nullcontext()
    device = {"Ascend": profiler.ProfilerActivity.NPU, "GPU": profiler.ProfilerActivity.GPU}.get(config.device_target)
    activities = [profiler.ProfilerActivity.CPU] + ([device] if device else [])
    handler = profiler.tensorboard_trace_handler(os.path.join(config.output_dir, "profile"))
    return profiler.profile(activities=activities, on_trace_ready=handler)
