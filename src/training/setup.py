"""Puts a training run together as the configuration says: data, train cell, evaluation, and the trainer around them."""
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from mindspore import Tensor, nn, set_seed
from mindspore import dtype as mstype

from src.common.charset import Charset
from src.common.errors import ConfigError
from src.crnn import CRNNV1, crnn
from src.crnn_for_train import CRNNWithLoss, GradientReducer, TrainOneStepCellWithGradClip, synchronise_batch_norm
from src.data.batches import WordBatches
from src.data.preprocess import InputSpec
from src.dataset import create_dataset, evaluation_split
from src.distributed.communication import take_over_statistics
from src.distributed.ranks import ALONE, Ranks, share_of_cores
from src.eval_callback import EvalCallback
from src.evaluation.loop import evaluate
from src.loss import CTCLoss, FrameLoss
from src.metric import EvalResult
from src.model_utils.callback import TrainMonitor
from src.model_utils.config import Config
from src.model_utils.context import speed_up
from src.model_utils.lr_scheduler import frame_loss_weights, learning_rates
from src.network.checkpoint_folder import BEST_NAME, CheckpointFolder
from src.network.description import FEATURES
from src.network.forward import network_forward
from src.network.precision import training_loss_scale, training_precision
from src.reading.greedy import GreedyDecoder
from src.reading.selection import Decoding
from src.training.bad_steps import ADAPTIVE_WINDOW, WINDOW, BadSteps
from src.training.dropout import DropoutMasks
from src.training.moving_average import MovingAverage
from src.training.optimizer import create_optimizer
from src.training.resume import Resumed, check_equal_start, open_resumed
from src.training.sample_readings import SampleReadings
from src.training.stop import StopSignals
from src.training.trainer import Position, Trainer


def training_data(config: Config, ranks: Ranks = ALONE) -> WordBatches:
    """Opens the training set and prints what is used of it; see :func:`src.dataset.create_dataset` for the errors."""
    dataset = create_dataset(config.train_dataset, config.train_dataset_path, config.batch_size, ranks.size, ranks.rank,
                             config=config, cores=share_of_cores(ranks))
    print(dataset.report.summary(), flush=True)
    return dataset


def train_cell(config: Config, ranks: Ranks = ALONE) -> TrainOneStepCellWithGradClip:
    """Builds the network, its losses, the optimizer and the cell that does one step; prints which operators compute.

    The network is ``cell.network.network``. Its first weights follow from MindSpore's seed.

    Args:
        config: the options; the context is set up.
        ranks: the processes that train together.

    Raises:
        ConfigError: an option that does not work here, such as sync_bn without Ascend devices.
    """
    network = crnn(config, full_precision=True)
    precision = training_precision(config)
    if config.sync_bn:
        synchronise_batch_norm(network, config.device_target, ranks)
    print(speed_up(network, config, precision), flush=True)
    frame_loss = FrameLoss(FEATURES, config.class_num, config.loss_reduction) if config.aux_ce_weight else None
    with_loss = CRNNWithLoss(network, CTCLoss(config.loss_reduction), frame_loss)
    optimizer = create_optimizer(config.optimizer, with_loss.trainable_params(), config.momentum, config.nesterov,
                                 config.weight_decay)
    reducer = None if ranks.is_alone else GradientReducer(ranks.size, config.loss_reduction == "mean")
    scale = training_loss_scale(config, precision)
    cell = TrainOneStepCellWithGradClip(with_loss, optimizer, config.clip_norm, scale, reducer,
                                        branches=config.device_target == "CPU").set_train()
    cell.average = MovingAverage(network, config.ema_decay) if config.ema_decay else None
    return cell


def evaluation_while_training(config: Config, network: nn.Cell, folder: Path, say: Callable[[str], None],
                              ranks: Ranks = ALONE, signals: StopSignals | None = None) -> EvalCallback:
    """Opens the set to evaluate on; a `synth` set is evaluated on its validation words, not on its test words.

    Args:
        config: the options.
        network: the one that is trained.
        folder: of the checkpoints, where the best one goes.
        say: prints a line.
        ranks: the processes that share the words.
        signals: end an evaluation of a process alone at once.
    """
    split = evaluation_split(config.train_eval_dataset, config.train_eval_dataset_path, say)
    dataset = create_dataset(config.train_eval_dataset, config.train_eval_dataset_path, config.batch_size, ranks.size,
                             ranks.rank, is_training=False, config=config, split=split, cores=share_of_cores(ranks))
    say(dataset.report.summary())
    charset = Charset.from_config(config.label_dict)
    forward = network_forward(network, config.batch_size)
    decoding = Decoding(GreedyDecoder(charset), "greedy decoder")
    spec = InputSpec.from_config(config)
    samples = SampleReadings(spec.mean, spec.scale)

    def run() -> EvalResult:
        # Several ranks must stop together, after a step; a process alone need not wait for the end of the evaluation.
        batches = signals.interrupting(dataset) if signals and ranks.is_alone else dataset
        take_over_statistics(network, ranks)
        return evaluate(forward, samples.watch(batches), decoding, charset, samples.note, ranks)

    evaluation = EvalCallback(run, network, folder / BEST_NAME if config.save_best_ckpt else None,
                              config.eval_start_epoch, config.eval_interval, config.epoch_size, say, ranks)
    evaluation.sample_sheet = samples.sheet
    return evaluation


def build_trainer(config: Config, folder: Path, ranks: Ranks = ALONE,
                  resumed: Resumed | None = None) -> tuple[Trainer, Position]:
    """Puts all pieces of a run together.

    Args:
        config: the options; it takes over what ``resume_ckpt`` was trained with.
        folder: of the checkpoints.
        ranks: the processes that train together.
        resumed: what the run starts from; None opens what the configuration says.

    Returns:
        The trainer, and the position to start from.

    Raises:
        CRNNError: an option, the data or the checkpoint cannot be used.
    """
    resumed = open_resumed(config) if resumed is None else resumed
    set_seed(config.seed)
    dataset = training_data(config, ranks)
    steps = dataset.get_dataset_size()
    cell = train_cell(config, ranks)
    network = cell.network.network

    start = resumed.load(config, network, cell, steps)
    check_equal_start(ranks, cell, start)
    if start.epoch >= config.epoch_size:
        raise ConfigError(f"epoch {start.epoch} is done already and epoch_size is {config.epoch_size}; raise "
                          "epoch_size to train on, or add --train_start_epoch=0 to start anew from these weights")
    total, images = config.epoch_size * steps, config.batch_size * ranks.size
    monitor = TrainMonitor(steps, config.epoch_size, images, config.per_print_time, start.epoch * steps + start.step,
                           config.show_progress if ranks.is_first else "never")
    # Weights taken as a new start (train_start_epoch=0) begin a run of its own: what lies in the folder is another's.
    later_part = resumed.goes_on and (start.epoch, start.step) != (0, 0)
    facts = _facts(config, cell)
    facts["run"] = resumed.run if later_part and resumed.run else uuid4().hex
    checkpoints = None
    if config.save_checkpoint:
        checkpoints = CheckpointFolder(folder, config.keep_checkpoint_max,
                                       resumed.files_in(folder) if later_part else (), writes=ranks.is_first)
    signals = StopSignals()
    evaluation = None
    if config.run_eval:
        evaluation = evaluation_while_training(config, network, folder, monitor.say, ranks, signals)
        evaluated_on = f"{config.train_eval_dataset} {config.train_eval_dataset_path}"
        facts["evaluated_on"] = evaluated_on
        if later_part:
            evaluation.remember_best(resumed.run, evaluated_on)
    if not later_part:
        cell.bad_in_a_row.set_data(Tensor(0, mstype.int32))
    dataset.masks = _dropout_masks(config, network, ranks)
    trainer = Trainer(
        cell, dataset, epochs=config.epoch_size, monitor=monitor, facts=facts,
        rates=learning_rates(config.lr_schedule, config.learning_rate, total, config.warmup_steps, config.warmup_ratio,
                             config.min_lr),
        frame_weights=frame_loss_weights(config.aux_ce_weight, config.aux_ce_ratio, total),
        loss_divisor=loss_divisor(config, ranks),
        checkpoints=checkpoints, save_every=config.save_checkpoint_steps,
        evaluation=evaluation, evaluate_saved=config.eval_all_saved_ckpts,
        ranks=ranks, average=cell.average, steps_ahead=config.steps_ahead,
        signals=signals,
        bad_steps=BadSteps(ADAPTIVE_WINDOW if cell.dynamic else WINDOW, int(cell.bad_in_a_row.asnumpy())),
        last_good=Path(resumed.checkpoint.path) if resumed.checkpoint else None,
        bad_batch_path=folder / "bad_batch.npz" if ranks.is_alone else folder / f"bad_batch_rank{ranks.rank}.npz")
    return trainer, start


def loss_divisor(config: Config, ranks: Ranks) -> int:
    """What makes the losses of a step, one of each rank and added up, the mean over the images of all ranks."""
    return ranks.size if config.loss_reduction == "mean" else ranks.size * config.batch_size


def _facts(config: Config, cell: TrainOneStepCellWithGradClip) -> dict[str, int | float | str]:
    """What every checkpoint says about the run that wrote it."""
    return {"label_dict": Charset.from_config(config.label_dict).characters, "model_version": config.model_version,
            "image_width": config.image_width, "keep_ratio": config.keep_ratio, "bucket_widths": config.bucket_widths,
            "long_width": config.long_width, "seed": config.seed, "batch_size": config.batch_size,
            "dynamic_loss_scale": cell.dynamic}


def _dropout_masks(config: Config, network: nn.Cell, ranks: Ranks) -> DropoutMasks | None:
    if not isinstance(network, CRNNV1) or not config.use_dropout:
        return None
    return DropoutMasks(network.dropout.p, 2 * config.hidden_size, config.seed, ranks.rank, ranks.size)
