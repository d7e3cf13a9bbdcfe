"""Trains a CRNN: `python train.py` alone trains on embedded synthetic words, `python train.py --help` lists options."""
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from src.common.errors import ConfigError, run_main
from src.model_utils.config import Config, load_config

if TYPE_CHECKING:  # MindSpore is loaded once the device is chosen
    from src.distributed.ranks import Ranks
    from src.training.stop import StopSignals


def main(argv: list[str] | None = None) -> int:
    """Trains as configured and returns the exit code."""
    config = load_config(argv, description="Train a CRNN scene-text recogniser.",
                         fallback_overlay="configs/quickstart.yaml",
                         fallback_unless=("train_dataset_path", "data_url"))
    from src.model_utils.moxing_adapter import modelarts
    with modelarts(config, "train_dataset_path", "resume_ckpt"):
        return run(config)


def run(config: Config) -> int:
    """Trains as configured, with all data in place."""
    if config.show_batch:
        return draw_first_batch(config)
    from src.model_utils.context import set_up_context  # decides on the CPU cap before MindSpore is imported
    print(set_up_context(config, own_operators=True), flush=True)
    from src.distributed.ranks import quiet_unless_first, ranks_of
    ranks = ranks_of(config)
    with quiet_unless_first(ranks):
        ranks.in_turn(lambda: fill_in(config))
        folder = checkpoint_folder(config)
        trainer, start = build_trainer(config, folder, ranks)
        print(config.describe(), flush=True)
        if ranks.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            config.save(folder / "config.yaml")
        with profile(config):
            stopped_by = trainer.run(start)
    return 128 + stopped_by if stopped_by else 0


def fill_in(config: Config) -> None:
    """Takes the embedded words where no data are given."""
    from src.data.embedded import fill_in_data
    fill_in_data(config, "train_dataset")
    if config.run_eval:
        fill_in_data(config, "train_eval_dataset")


def draw_first_batch(config: Config) -> int:
    """Draws what the network is fed first, for show_batch; nothing is trained."""
    from src.common.charset import Charset
    from src.data.embedded import fill_in_data
    from src.data.show_batch import show_batch
    from src.dataset import create_dataset
    fill_in_data(config, "train_dataset")
    if config.resume_ckpt:  # it says how images are fitted, and its characters which words are trained on
        from src.model_utils.context import set_up_context
        set_up_context(config)
        from src.training.resume import open_resumed
        open_resumed(config)
    dataset = create_dataset(config.train_dataset, config.train_dataset_path, config.batch_size, config=config)
    count = show_batch(dataset, Charset.from_config(config.label_dict), config.show_batch, config.train_start_epoch)
    print(f"{dataset.report.summary()}\n{config.show_batch}: {count} images of the first batch", flush=True)
    return 0


def profile(config: Config) -> AbstractContextManager:
    """Records a profile into output_dir/profile when enable_profiling asks for it; otherwise does nothing."""
    if not config.enable_profiling:
        return nullcontext()
    from mindspore import profiler
    device = {"Ascend": profiler.ProfilerActivity.NPU, "GPU": profiler.ProfilerActivity.GPU}.get(config.device_target)
    activities = [profiler.ProfilerActivity.CPU] + ([device] if device else [])
    handler = profiler.tensorboard_trace_handler(os.path.join(config.output_dir, "profile"))
    return profiler.profile(activities=activities, on_trace_ready=handler)


def checkpoint_folder(config: Config) -> Path:
    """Where the checkpoints of a run go."""
    return Path(config.save_checkpoint_path or os.path.join(config.output_dir, "ckpt"))


def build_trainer(config: Config, folder: Path, ranks: "Ranks"):
    """Puts the pieces of a training run together; returns the trainer and the position to start from."""
    from mindspore import set_seed

    from src.common.charset import Charset
    from src.crnn import FEATURE_SIZE, crnn
    from src.crnn_for_train import (
        CRNNWithLoss,
        GradientReducer,
        TrainOneStepCellWithGradClip,
        synchronise_batch_norm,
    )
    from src.dataset import create_dataset
    from src.loss import CTCLoss, FrameLoss
    from src.model_utils.callback import TrainMonitor
    from src.model_utils.context import speed_up
    from src.model_utils.lr_scheduler import frame_loss_weights, learning_rates
    from src.network.checkpoint import CheckpointKeeper
    from src.network.precision import training_loss_scale, training_precision
    from src.training.dropout import DropoutMasks
    from src.training.moving_average import MovingAverage
    from src.training.optimizer import create_optimizer
    from src.training.resume import check_equal_start, open_resumed
    from src.training.stop import StopSignals
    from src.training.trainer import Trainer

    resumed = open_resumed(config)
    set_seed(config.seed)
    dataset = create_dataset(config.train_dataset, config.train_dataset_path, config.batch_size, ranks.size, ranks.rank,
                             config=config)
    print(dataset.report.summary(), flush=True)
    steps = dataset.get_dataset_size()

    network = crnn(config, full_precision=True)
    precision = training_precision(config)
    if config.sync_bn:
        synchronise_batch_norm(network, config.device_target, ranks)
    print(speed_up(network, config, precision), flush=True)
    loss_scale = training_loss_scale(config, precision)
    mean = config.loss_reduction == "mean"
    frame_loss = FrameLoss(FEATURE_SIZE, config.class_num, config.loss_reduction) if config.aux_ce_weight else None
    with_loss = CRNNWithLoss(network, CTCLoss(config.loss_reduction), frame_loss)
    optimizer = create_optimizer(config.optimizer, with_loss.trainable_params(), config.momentum, config.nesterov,
                                 config.weight_decay)
    reducer = None if ranks.is_alone else GradientReducer(ranks.size, mean)
    cell = TrainOneStepCellWithGradClip(with_loss, optimizer, config.clip_norm, loss_scale, reducer).set_train()
    cell.average = MovingAverage(network, config.ema_decay) if config.ema_decay else None

    start = resumed.load(config, network, cell, steps)
    check_equal_start(ranks, cell, start)
    if start.epoch >= config.epoch_size:
        raise ConfigError(f"epoch {start.epoch} is done already and epoch_size is {config.epoch_size}; raise "
                          "epoch_size to train on, or add --train_start_epoch=0 to start anew from these weights")
    total = config.epoch_size * steps
    images = config.batch_size * ranks.size
    monitor = TrainMonitor(steps, config.epoch_size, images, config.per_print_time, start.epoch * steps + start.step,
                           config.show_progress if ranks.is_first else "never")
    facts = {"label_dict": Charset.from_config(config.label_dict).characters, "model_version": config.model_version,
             "image_width": config.image_width, "keep_ratio": config.keep_ratio,
             "bucket_widths": config.bucket_widths, "seed": config.seed, "batch_size": config.batch_size,
             "dynamic_loss_scale": loss_scale == "dynamic"}
    # Weights taken as a new start (train_start_epoch=0) begin a run of its own: what lies in the folder is another's.
    later_part = resumed.goes_on and (start.epoch, start.step) != (0, 0)
    facts["run"] = resumed.run if later_part and resumed.run else uuid4().hex
    keeper = CheckpointKeeper(folder, config.keep_checkpoint_max, resumed.files_in(folder) if later_part else (),
                              writes=ranks.is_first)
    dropout = None
    if config.model_version == "V1" and config.use_dropout:
        dropout = DropoutMasks(network.dropout.p, 2 * config.hidden_size, config.seed, ranks.rank, ranks.size)
    signals = StopSignals()
    evaluation = None
    if config.run_eval:
        evaluation = evaluation_callback(config, network, folder, monitor.say, ranks, signals)
        facts["evaluated_on"] = f"{config.train_eval_dataset} {config.train_eval_dataset_path}"
        if later_part:
            evaluation.remember_best(resumed.run, facts["evaluated_on"])
    trainer = Trainer(
        cell, dataset, epochs=config.epoch_size, monitor=monitor, facts=facts,
        rates=learning_rates(config.lr_schedule, config.learning_rate, total, config.warmup_steps, config.warmup_ratio,
                             config.min_lr),
        frame_weights=frame_loss_weights(config.aux_ce_weight, config.aux_ce_ratio, total),
        loss_divisor=ranks.size if mean else images,
        keeper=keeper if config.save_checkpoint else None,
        save_every=config.save_checkpoint_steps,
        evaluation=evaluation, evaluate_saved=config.eval_all_saved_ckpts,
        ranks=ranks, dropout=dropout, average=cell.average, signals=signals)
    return trainer, start


def evaluation_callback(config: Config, network, folder: Path, say, ranks: "Ranks", signals: "StopSignals"):
    """The evaluation while training; a `synth` set is evaluated on its validation words, not on its test words."""
    from src.common.charset import Charset
    from src.dataset import create_dataset, evaluation_split
    from src.distributed.ranks import take_over_statistics
    from src.eval_callback import EvalCallback
    from src.evaluation.loop import evaluate
    from src.metric import EvalResult
    from src.network.checkpoint import BEST_NAME
    from src.network.forward import network_forward
    from src.reading.greedy import GreedyDecoder
    from src.reading.selection import Decoding

    split = evaluation_split(config.train_eval_dataset, config.train_eval_dataset_path, say)
    dataset = create_dataset(config.train_eval_dataset, config.train_eval_dataset_path, config.batch_size, ranks.size,
                             ranks.rank, is_training=False, config=config, split=split)
    say(dataset.report.summary())
    charset = Charset.from_config(config.label_dict)
    forward = network_forward(network, config.batch_size)
    decoding = Decoding(GreedyDecoder(charset), "greedy decoder")

    def run() -> EvalResult:
        # A signal ends the evaluation of a process alone at once; several ranks must stop together, after a step.
        batches = signals.interrupting(dataset) if ranks.is_alone else dataset
        take_over_statistics(network, ranks)
        return evaluate(forward, batches, decoding, charset, ranks=ranks)

    return EvalCallback(run, network,
                        folder / BEST_NAME if config.save_best_ckpt else None, config.eval_start_epoch,
                        config.eval_interval, config.epoch_size, say, ranks)


if __name__ == "__main__":
    run_main(main)
