"""Draws the loss of training runs from their logs, and the accuracy of evaluations in between, as an SVG picture."""
import argparse
import math
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import DataError, run_main
from src.common.files import keep_apart, write_text

_DESCRIPTION = """Draw the loss of training runs over the images seen, and the accuracy where a run evaluated itself.
Give what train.py printed (the log.txt of a launcher), or the log.tsv of tools/train_twin.py; several logs are drawn
one after the other, as stages of one training."""
_LOSS = re.compile(r"epoch: (\d+) step: (\d+), loss is ([-+.\deE]+|nan|inf)")
_ACCURACY = re.compile(r"epoch: \d+, acc: ([.\d]+)")
_BATCH = re.compile(r"^\s*(?:\* )?batch_size: (\d+)")
_RANKS = re.compile(r"rank \d+ of (\d+)")
_TABLE = {"images", "loss", "val_acc"}  # the columns of a log.tsv that are drawn
_RESUMED = re.compile(r"^resumed from .*: epoch (\d+), step (\d+),")
_COLOURS = ("#2563a8", "#b4441e", "#2c7d4f", "#7d4fa3", "#8a6d1a", "#4a5560", "#a8326e", "#1a7f86")
_ROUND = [factor * 10.0 ** power for power in range(-12, 13) for factor in (1, 2, 5)]
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 380, 62, 56, 34, 48


class _Counter:
    """Counts the steps of a run from what its log says of epochs and steps.

    Args:
        epoch: epochs that were done when it began.
        step: steps of the next one that were done.
    """

    def __init__(self, epoch: int = 0, step: int = 0):
        self._starts = {epoch: -step}  # steps of the run before each epoch
        self._epoch, self._step = epoch, step

    @property
    def steps(self) -> int:
        """Steps so far."""
        return self._starts[self._epoch] + self._step

    def reach(self, epoch: int, step: int) -> None:
        """The run has done some epochs and some steps of the next."""
        if epoch != self._epoch:
            self._starts[epoch] = self.steps
        self._epoch, self._step = epoch, step

    def go_back(self, epoch: int, step: int) -> None:
        """The run goes on from a place it was at before; from the last one known where it was not."""
        if epoch not in self._starts:
            self._starts[epoch] = self.steps - step
        self._epoch, self._step = epoch, step


@dataclass
class Stage:
    """A run, or a part of it.

    Attributes:
        name: what to call it.
        losses: images seen by this stage, and the mean loss printed there.
        accuracies: images seen, and the share of words read right.
        images: seen in all.
    """

    name: str
    losses: list[tuple[float, float]] = field(default_factory=list)
    accuracies: list[tuple[float, float]] = field(default_factory=list)
    images: float = 0.0

    def forget_after(self, images: float) -> None:
        """Leaves out what lies behind a number of images: it is done once more."""
        self.losses = [point for point in self.losses if point[0] <= images]
        self.accuracies = [point for point in self.accuracies if point[0] <= images]
        self.images = images


def read_log(lines: Iterable[str], name: str) -> list[Stage]:
    """The stages in a log: every start of train.py that does not go on where the one before it ended begins one.

    Args:
        lines: of the log; progress bars may be among them. The log.tsv of tools/train_twin.py is one stage.
        name: of the log, for the stages and messages.

    Raises:
        DataError: no line of it tells a loss.
    """
    lines = list(lines) or [""]
    stages = _read_table(lines, name) if set(lines[0].split("\t")) >= _TABLE else _read_output(lines, name)
    stages = [stage for stage in stages if stage.losses]
    if not stages:
        raise DataError(f"{name} holds no line such as 'epoch: 1 step: 100, loss is 3.2' and no row of a log.tsv with "
                        "a loss; give what train.py printed, or the log.tsv of tools/train_twin.py")
    return stages


def _read_table(lines: Sequence[str], name: str) -> list[Stage]:
    """The run in a log.tsv of tools/train_twin.py; what it did once more, as it was killed in between, counts once."""
    header, stage = lines[0].split("\t"), Stage(name)
    for line in lines[1:]:
        row = dict(zip(header, line.split("\t"), strict=False))
        try:
            images = float(row["images"])
            loss, right = (float(row[column] or "nan") for column in ("loss", "val_acc"))
        except (KeyError, ValueError):
            continue  # a row cut off
        if images < stage.images:
            stage.forget_after(math.nextafter(images, 0))
        stage.images = images
        if row["loss"]:
            stage.losses.append((images, loss))
        if row["val_acc"]:
            stage.accuracies.append((images, right))
    return [stage]


def _read_output(lines: Iterable[str], name: str) -> list[Stage]:
    """The stages in what train.py printed."""
    stages: list[Stage] = []
    batch, ranks, resumed = 64, 1, (0, 0)
    counter = _Counter()
    for line in lines:
        line = line.rpartition("\r")[2]
        if line.startswith("mindspore "):  # the first line of a run
            found = _RANKS.search(line)
            ranks, resumed = int(found[1]) if found else 1, (0, 0)
        elif found := _RESUMED.match(line):
            resumed = int(found[1]), int(found[2])
        elif line.startswith("Configuration ("):
            if resumed == (0, 0) or not stages:
                stages.append(Stage(name if not stages else f"{name}, run {len(stages) + 1}"))
                counter = _Counter(*resumed)
            else:
                counter.go_back(*resumed)
                stages[-1].forget_after(counter.steps * batch * ranks)
            resumed = 0, 0
        elif found := _BATCH.match(line):
            batch = int(found[1])
        elif found := _LOSS.search(line):
            try:
                loss = float(found[3])
            except ValueError:
                continue  # a line cut off, or written into by another
            if not stages:
                stages.append(Stage(name))
            counter.reach(int(found[1]) - 1, int(found[2]))
            stage = stages[-1]
            stage.images = counter.steps * batch * ranks
            stage.losses.append((stage.images, loss))
        elif (found := _ACCURACY.search(line)) and stages:
            stages[-1].accuracies.append((stages[-1].images, float(found[1])))
    return stages


def to_svg(stages: Sequence[Stage], title: str) -> str:
    """The picture: losses as lines on the logarithmic scale left, accuracies as dots on the one to the right.

    Raises:
        DataError: no loss can be drawn.
    """
    values = [value for stage in stages for _, value in stage.losses if 0 < value < math.inf]
    if not values:
        raise DataError("no loss of these runs is a positive finite number; there is nothing to draw")
    total, ticks = sum(stage.images for stage in stages), _ticks(min(values), max(values))
    low, high = math.log(ticks[0]), math.log(ticks[-1])

    def x(images: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * images / max(total, 1)

    def y(share: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * share

    def height(loss: float) -> float:
        return y((math.log(loss) - low) / (high - low))

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
             f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" fill="#333" role="img">',
             f"<title>{escape(title)}</title>", f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
             f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>']
    parts += [_grid(height(tick), f"{tick:g}") for tick in ticks]
    right = _WIDTH - _RIGHT
    if any(stage.accuracies for stage in stages):
        parts += [f'<text x="{right + 6}" y="{y(share) + 4:.1f}">{share:.0%}</text>' for share in (0, 0.5, 1)]
        parts.append(f'<text x="{right + 6}" y="{_TOP - 10}">right</text>')
    step = _round_step(total / 8)
    for n in range(int(total / step) + 1):
        parts.append(f'<text x="{x(n * step):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">'
                     f"{n * step / 1000:g}k</text>")
    parts.append(f'<text x="{_LEFT - 8}" y="{_TOP - 10}" text-anchor="end">loss</text>'
                 f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">images seen</text>')
    seen = 0.0
    for n, stage in enumerate(stages):
        colour = _COLOURS[n % len(_COLOURS)]
        points = " ".join(f"{x(seen + images):.1f},{height(value):.1f}" for images, value in stage.losses
                          if 0 < value < math.inf)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        parts += [f'<circle cx="{x(seen + images):.1f}" cy="{y(share):.1f}" r="4" fill="{colour}"><title>'
                  f"{share:.2%}</title></circle>" for images, share in stage.accuracies]
        parts.append(f'<text x="{(_LEFT + right) / 2 - 80}" y="{_TOP + 6 + 16 * n}" fill="{colour}">'
                     f"{escape(stage.name)}: {stage.images / 1000:,.0f}k</text>")
        seen += stage.images
    return "\n".join([*parts, "</svg>"]) + "\n"


def _grid(y: float, label: str) -> str:
    return (f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')


def _ticks(low: float, high: float) -> list[float]:
    """Two or more round numbers, the first not above ``low``, the last not below ``high``."""
    first = max((n for n, value in enumerate(_ROUND) if value <= low), default=0)
    last = next((n for n, value in enumerate(_ROUND) if value >= high and n > first), len(_ROUND) - 1)
    return _ROUND[first:last + 1]


def _round_step(about: float) -> float:
    """The largest round number that is not above another."""
    return max((value for value in _ROUND if value <= about), default=_ROUND[0])


def main(argv: list[str] | None = None) -> int:
    """Draws as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("logs", nargs="+", metavar="LOG[:NAME]", help="a log, and what to call it in the picture")
    parser.add_argument("-o", "--output", required=True, metavar="SVG", help="the picture to write")
    parser.add_argument("--title", default="Training loss", help="(default: %(default)s)")
    args = parser.parse_args(argv)
    stages = []
    for given in args.logs:
        path, _, name = (given, "", "") if Path(given).is_file() or ":" not in given else given.rpartition(":")
        keep_apart(args.output, [path])
        try:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}); give a log of train.py or "
                            "train_twin.py") from error
        stages += read_log(text.split("\n"), name or Path(path).stem)
    write_text(args.output, to_svg(stages, args.title))
    print(f"{args.output}: {len(stages)} {'stage' if len(stages) == 1 else 'stages'}, "
          f"{sum(stage.images for stage in stages):,.0f} images")
    return 0


if __name__ == "__main__":
    run_main(main)
