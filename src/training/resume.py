"""Going on from a checkpoint: with the same run, with weights alone, or with another charset."""
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from src.common.charset import Charset
from src.common.errors import CRNNError
from src.distributed.ranks import Ranks
from src.model_utils.config import Config
from src.network.checkpoint import (
    Checkpoint,
    DamagedCheckpointError,
    load_state,
    load_weights,
    read_checkpoint,
    take_over,
    wants_new_charset,
)
from src.network.checkpoint_folder import newest_sound
from src.training.trainer import Position, position_of

if TYPE_CHECKING:
    from mindspore import nn


@dataclass
class Resumed:
    """What a run starts from.

    Attributes:
        checkpoint: None starts from nothing.
        new_charset: the characters are others than the checkpoint's: its last layer is left out, training starts at 0.
    """

    checkpoint: Checkpoint | None = None
    new_charset: bool = False

    @property
    def goes_on(self) -> bool:
        """Whether this is the later part of an earlier run."""
        return self.checkpoint is not None and not self.new_charset

    @property
    def run(self) -> str | None:
        """What the run that wrote the checkpoint is called; None if the file does not say."""
        return self.checkpoint.info.get("run") if self.checkpoint else None

    def goes_on_in(self, folder: Path, config: Config) -> bool:
        """Whether this is the later part of a run whose checkpoints are in a folder."""
        begins_anew = config.is_on_command_line("train_start_epoch") and not config.train_start_epoch
        return self.goes_on and not begins_anew and Path(self.checkpoint.path).resolve().parent == folder.resolve()

    def files_in(self, folder: Path) -> list[Path]:
        """The checkpoints that the run had written when it wrote this one, if this one lies in the folder."""
        own = Path(self.checkpoint.path)
        if own.resolve().parent != folder.resolve():
            return []
        return [folder / name for name in str(self.checkpoint.info.get("run_files", own.name)).split("/")]

    def load(self, config: Config, network: "nn.Cell", cell: "nn.Cell", steps: int) -> Position:
        """Puts weights and training state where they belong; returns where to start.

        Args:
            config: the options.
            network: the network.
            cell: the train cell around it.
            steps: of an epoch.

        Raises:
            CheckpointError: the checkpoint does not fit.
        """
        # A config.yaml that an earlier version saved lists every key; only a number above 0 means something there.
        chosen = config.is_on_command_line("train_start_epoch") or config.train_start_epoch
        start = Position(config.train_start_epoch)
        if self.checkpoint is None:
            return start
        load_weights(network, self.checkpoint, but_last=self.new_charset)
        complete = load_state(cell, self.checkpoint, but_last=self.new_charset)
        average = getattr(cell, "average", None)
        if average is not None:
            average.restart()
        path = self.checkpoint.path
        if self.new_charset:
            characters = len(Charset.from_config(config.label_dict).characters)
            print(f"fine-tuning {path} with another label_dict of {characters} characters: the last layer starts anew "
                  f"from seed {config.seed}, all other weights {'and their optimizer state ' if complete else ''}are "
                  "kept")
            return start
        if not chosen:
            start = position_of(self.checkpoint.info, steps, lambda text: print(f"note: {text}", file=sys.stderr))
        if start != Position() and self.checkpoint.trained is not None:
            load_weights(network, self.checkpoint.trained)
        print(f"resumed from {path}: epoch {start.epoch}, step {start.step}, "
              f"{'weights and training state' if complete else 'weights only'}")
        return start


def open_resumed(config: Config) -> Resumed:
    """Reads ``resume_ckpt``, if there is one; the configuration takes over what it was trained with.

    Other characters than the checkpoint's, given by the user in ``label_dict``, ask for fine-tuning with these.

    Raises:
        CheckpointError: no such file, not a checkpoint, or not of the network that is configured.
    """
    if not config.resume_ckpt:
        return Resumed()
    checkpoint = _read_or_offer_another(config.resume_ckpt)
    resumed = Resumed(checkpoint, wants_new_charset(config, checkpoint))
    take_over(config, checkpoint, keep_charset=resumed.new_charset)
    seed = checkpoint.info.get("seed", config.seed)
    if resumed.goes_on and seed != config.seed:
        if not config.is_given("seed"):
            config.seed = seed
        else:
            print(f"note: {checkpoint.path} was trained with seed {seed}, now it is {config.seed}: the images come in "
                  "another order", file=sys.stderr)
    return resumed


def _read_or_offer_another(path: str) -> Checkpoint:
    """Reads the checkpoint to resume; if it is damaged, the error names the newest sound one beside it."""
    try:
        return read_checkpoint(path)
    except DamagedCheckpointError as error:
        other = newest_sound(Path(path).absolute().parent, but=Path(path))
        if other is None:
            raise
        raise DamagedCheckpointError(f"{error}; the newest sound one beside it is taken by --resume_ckpt={other}"
                                     ) from error


def check_equal_start(ranks: Ranks, cell: "nn.Cell", start: Position) -> None:
    """Makes sure that all ranks have the same weights and state; afterwards the same gradients keep them equal.

    Raises:
        CRNNError: they differ.
    """
    if ranks.is_alone:
        return
    digest = zlib.crc32(repr(start).encode())
    for parameter in cell.get_parameters():
        digest = zlib.crc32(parameter.asnumpy().tobytes(), digest)
    if len(set(ranks.gather(digest))) > 1:
        raise CRNNError("the ranks start from different weights; give all of them the same configuration, and the same "
                        "resume_ckpt on every node")
