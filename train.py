"""Trains a CRNN: `python train.py` alone trains on embedded synthetic words, `python train.py --help` lists options."""
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from src.errors import ConfigError, run_main
from src.model_utils.config import Config, load_config


def main(argv: list[str] | None = None) -> int:
    """Trains as configured and returns the exit code."""
    config = load_config(argv, description="Train a CRNN scene-text recogniser.",
                         fallback_overlay="configs/quickstart.yaml")
    from src.model_utils.context import set_up_context  # decides on the CPU cap before MindSpore is imported
    print(set_up_context(config, own_operators=True), flush=True)
    from src.embedded import fill_in_data
    fill_in_data(config, "train_dataset")
    if config.run_eval:
        fill_in_data(config, "train_eval_dataset")
    folder = checkpoint_folder(config)
    trainer, start = build_trainer(config, folder)
    print(config.describe(), flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    config.save(folder / "config.yaml")
    with profile(config):
        trainer.run(start)
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


def build_trainer(config: Config, folder: Path):
    """Puts the pieces of a training run together; returns the trainer and the position to start from."""
    from mindspore import set_seed

    from src.charset import Charset
    from src.crnn import FEATURE_SIZE, crnn
    from src.crnn_for_train import CRNNWithLoss, TrainOneStepCellWithGradClip
    from src.dataset import create_dataset
    from src.loss import CTCLoss, FrameLoss
    from src.model_utils.callback import TrainMonitor
    from src.model_utils.checkpoint import CheckpointKeeper, adopt, load_state, load_weights, read_checkpoint
    from src.model_utils.context import speed_up
    from src.model_utils.lr_scheduler import frame_loss_weights, learning_rates
    from src.model_utils.optimizer import create_optimizer
    from src.trainer import Position, Trainer, position_of

    set_seed(config.seed)
    checkpoint = None
    if config.resume_ckpt:
        checkpoint = read_checkpoint(config.resume_ckpt)
        adopt(config, checkpoint)
    dataset = create_dataset(config.train_dataset, config.train_dataset_path, config.batch_size, config=config)
    print(dataset.report.summary(), flush=True)
    steps = dataset.get_dataset_size()

    network = crnn(config, full_precision=config.device_target != "Ascend")
    print(speed_up(network, config), flush=True)
    frame_loss = FrameLoss(FEATURE_SIZE, config.class_num, config.loss_reduction) if config.aux_ce_weight else None
    with_loss = CRNNWithLoss(network, CTCLoss(config.loss_reduction), frame_loss)
    optimizer = create_optimizer(config.optimizer, with_loss.trainable_params(), config.momentum, config.nesterov,
                                 config.weight_decay)
    cell = TrainOneStepCellWithGradClip(with_loss, optimizer, config.clip_norm, config.loss_scale).set_train()

    start = Position(config.train_start_epoch)
    if checkpoint is not None:
        load_weights(network, checkpoint)
        complete = load_state(cell, checkpoint)
        start = position_of(checkpoint.info, steps, lambda text: print(f"note: {text}", file=sys.stderr))
        if config.origin("train_start_epoch") not in ("default", "derived"):
            start = Position(config.train_start_epoch)
        print(f"resumed from {config.resume_ckpt}: epoch {start.epoch}, step {start.step}, "
              f"{'weights and training state' if complete else 'weights only'}")
    if start.epoch >= config.epoch_size:
        raise ConfigError(f"epoch {start.epoch} is done already and epoch_size is {config.epoch_size}; raise "
                          "epoch_size to train on, or set train_start_epoch=0 to start anew from these weights")
    total = config.epoch_size * steps
    monitor = TrainMonitor(steps, config.epoch_size, config.batch_size, config.per_print_time,
                           start.epoch * steps + start.step, config.show_progress)
    facts = {"label_dict": Charset.from_config(config.label_dict).characters, "model_version": config.model_version,
             "image_width": config.image_width, "keep_ratio": config.keep_ratio,
             "bucket_widths": config.bucket_widths, "seed": config.seed, "batch_size": config.batch_size}
    keeper = CheckpointKeeper(folder, config.keep_checkpoint_max, resumed=checkpoint is not None)
    trainer = Trainer(
        cell, dataset, epochs=config.epoch_size, monitor=monitor, facts=facts,
        rates=learning_rates(config.lr_schedule, config.learning_rate, total, config.warmup_steps, config.warmup_ratio,
                             config.min_lr),
        frame_weights=frame_loss_weights(config.aux_ce_weight, config.aux_ce_ratio, total),
        loss_divisor=1.0 if config.loss_reduction == "mean" else config.batch_size,
        keeper=keeper if config.save_checkpoint else None,
        save_every=config.save_checkpoint_steps,
        evaluation=evaluation_callback(config, network, folder, monitor.say) if config.run_eval else None,
        evaluate_saved=config.eval_all_saved_ckpts)
    return trainer, start


def evaluation_callback(config: Config, network, folder: Path, say):
    """The evaluation while training; a `synth` set is evaluated on its validation words, not on its test words."""
    from src.charset import Charset
    from src.dataset import create_dataset
    from src.decode import GreedyDecoder
    from src.eval_callback import EvalCallback
    from src.evaluation import evaluate, network_forward
    from src.model_utils.checkpoint import BEST_NAME

    split = "val" if config.train_eval_dataset == "synth" else "test"
    dataset = create_dataset(config.train_eval_dataset, config.train_eval_dataset_path, config.batch_size,
                             is_training=False, config=config, split=split)
    say(dataset.report.summary())
    charset = Charset.from_config(config.label_dict)
    forward, decoder = network_forward(network, config.batch_size), GreedyDecoder(charset)
    callback = EvalCallback(lambda: evaluate(forward, dataset, decoder, charset), network,
                            folder / BEST_NAME if config.save_best_ckpt else None, config.eval_start_epoch,
                            config.eval_interval, config.epoch_size, say)
    if config.resume_ckpt:
        callback.remember_best()
    return callback


if __name__ == "__main__":
    run_main(main)
