"""The embedded set: synthetic words drawn on this machine, so that every program runs without a download."""
from pathlib import Path

from src.common.errors import ConfigError, DataError
from src.model_utils.config import ROOT, Config

FOLDER = ROOT / "data" / "embedded"
TRAIN, VAL, TEST = 12000, 500, 500
SEED = 20151


def embedded_set(folder: Path = FOLDER) -> Path:
    """The folder of the embedded set in the `synth` layout; draws it on first use (seconds).

    Words and numbers of three to six characters in clean fonts, easy enough to be learned from scratch in minutes
    on a CPU. The validation and test words never occur among the training words.

    Raises:
        OSError: the set is not there yet and cannot be written.
    """
    from src.render import RenderStyle, write_synth  # here: once drawn, nobody needs fonts

    write_synth(folder, train=TRAIN, val=VAL, test=TEST, style=RenderStyle.preset("easy"), seed=SEED, min_length=3,
                max_length=6, digits_ratio=0.1, overwrite=True)
    return folder


def fill_in_data(config: Config, kind: str) -> None:
    """Points a data set without a path to the embedded words.

    Args:
        config: the options.
        kind: the key of the data set's kind, such as "train_dataset"; its path is `kind` + "_path".

    Raises:
        ConfigError: another kind of data set was asked for.
        DataError: the embedded words are not there yet and cannot be written.
    """
    path = f"{kind}_path"
    if getattr(config, path):
        return
    if config.is_given(kind) and getattr(config, kind) != "synth":
        raise ConfigError(f"{path} is missing: say where the {getattr(config, kind)} data are (--{path}=FOLDER), or "
                          f"leave {kind} out as well to use the embedded words")
    try:
        folder = embedded_set()
    except OSError as error:
        raise DataError(f"no {path} given, and the embedded words cannot be drawn into {FOLDER} "
                        f"({error.strerror or error}): make that folder writable, or say where the data are "
                        f"(--{kind}=NAME --{path}=FOLDER)") from error
    setattr(config, kind, "synth")
    setattr(config, path, str(folder))
    print(f"no {path} given: using the embedded synthetic words in {getattr(config, path)}", flush=True)
