"""Stages of a training of the twin: how long, at which learning rate, with how many real words, from which weights."""
from dataclasses import dataclass

from src.common.errors import ConfigError

_KEYS = "name, minutes, rate, real, from"


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Attributes:
        name: of the files with its weights.
        minutes: how long it takes.
        first_rate: learning rate at its begin.
        last_rate: learning rate at its end; linear in between.
        real: share of real words in a batch.
        start: the stage at whose end it begins; empty: the one before.
    """

    name: str
    minutes: float
    first_rate: float
    last_rate: float
    real: float = 0.0
    start: str = ""

    def rate(self, progress: float) -> float:
        """The learning rate at a share (0 to 1) of the stage."""
        return self.first_rate + (self.last_rate - self.first_rate) * min(1.0, progress)


def parse_stage(text: str) -> Stage:
    """Reads 'name=real,minutes=2,rate=1e-3:0,real=0.3,from=flat'.

    Raises:
        ConfigError: another form.
    """
    values = {}
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator or key.strip() not in _KEYS.split(", ") or key.strip() in values:
            raise ConfigError(f"--stage {text!r}: expected KEY=VALUE with commas, each of {_KEYS} at most once")
        values[key.strip()] = value.strip()
    first, separator, last = values.get("rate", "").partition(":")
    try:
        stage = Stage(values["name"], float(values["minutes"]), float(first), float(last if separator else first),
                      float(values.get("real", 0)), values.get("from", ""))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"--stage {text!r}: name, minutes and rate (a number, or two with a colon) must be "
                          "given") from error
    if not stage.name.isidentifier() or stage.name in ("weights", "state"):
        raise ConfigError(f"--stage {text!r}: the name must be letters and digits, not 'weights' or 'state'")
    if not stage.minutes > 0 or not min(stage.first_rate, stage.last_rate) >= 0 or not 0 <= stage.real <= 1:
        raise ConfigError(f"--stage {text!r}: minutes must be above 0, rates 0 or more, real between 0 and 1")
    return stage


def parse_stages(texts: list[str]) -> list[Stage]:
    """Reads all stages of a training.

    Raises:
        ConfigError: a stage of another form, a name given twice, or a start that does not come before.
    """
    stages: list[Stage] = []
    for text in texts:
        stage = parse_stage(text)
        names = [other.name for other in stages]
        if stage.name in names:
            raise ConfigError(f"--stage {text!r}: there is a stage {stage.name} already")
        if stage.start and stage.start not in names:
            raise ConfigError(f"--stage {text!r}: no stage {stage.start} comes before it")
        stages.append(stage)
    return stages
