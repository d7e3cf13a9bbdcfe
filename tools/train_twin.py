"""Trains the PyTorch twin of V2 on words drawn while it trains, for an accelerator that has PyTorch but no MindSpore.

Needs torch, numpy, OpenCV and Pillow, a folder of fonts and a word list. Worker processes draw words (src/render);
each image is used a few times, augmented on the device. Interrupted or out of session time, the same command goes on.
The result is imported with tools/import_twin.py; docs/accelerator_training.md has all commands.
"""
import argparse
import math
import os
import pickle
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.common.errors import CheckpointError, ConfigError, CRNNError, run_main
from src.common.system import available_cores
from src.data.augment import PRESETS
from src.render import RenderStyle, WordRenderer, find_fonts
from src.render.words import read_lexicon
from src.training.stop import StopSignals
from tools.torch_augment import augment_batch
from tools.torch_twin import CRNN, to_mindspore
from tools.twin_log import Log, write_config
from tools.twin_parts import Pack, Ring, frame_targets, initialise, load_weights, rate, save_npz, save_parts
from tools.twin_stages import Stage, parse_stages
from tools.word_feed import CHARSET, Chunk, Layout, WordFeed, draw_chunk, plan_feed

_EPILOG = "Exit code 0: complete or out of session time; 143 or 130: stopped by SIGTERM or Ctrl-C, and saved; 2: error."
_LEARNT = ("model", "average", "head", "optimizer")
_PLANNED = 1_000_000  # words in the order they are drawn, before they come again


class TwinTrainer:
    """Network, its running average, optimizer, and how far they are.

    Args:
        options: of the command line.
        device: where to train.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device):
        self.options, self.device = options, device
        self.layout = Layout(options.width)
        self.stages = parse_stages(options.stage)
        self.stage_number, self.stage_seconds = 0, 0.0
        # Read now, not when a stage first wants them: a wrong file is to be told before anything is drawn.
        self.pack = Pack(options.real, device, self.layout) if any(stage.real for stage in self.stages) else None
        self.held_out = Pack(options.real_val, device, self.layout) if options.real_val else None
        self.state_path = options.state or os.path.join(options.output_dir, "state.pt")
        self._augmenting = torch.Generator(device)
        torch.manual_seed(options.seed)
        self.model = CRNN(CHARSET.class_num, "V2").to(device)
        initialise(self.model)
        if options.init:
            load_weights(self.model, options.init)
        self.model = self.model.to(memory_format=torch.channels_last)
        self.average = CRNN(CHARSET.class_num, "V2").to(device)
        self.average.load_state_dict(self.model.state_dict())
        self.head = nn.Linear(512, CHARSET.class_num).to(device)
        self.features = torch.compile(self.model.features, dynamic=False) if options.compile else self.model.features
        parameters = [*self.model.parameters(), *self.head.parameters()]
        self.optimizer = torch.optim.AdamW(
            [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
             {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}],
            lr=0.0, fused=device.type == "cuda")
        self.parameters = parameters
        # Pairs of tensors, the averaged one first; the counters of batch norm are no floats.
        pairs = [(a, b) for a, b in zip(self.average.state_dict().values(), self.model.state_dict().values(),
                                        strict=True) if a.is_floating_point()]
        self._averaged, self._current = map(list, zip(*pairs, strict=True))
        self.step = self.images = self.drawn = 0
        self.seconds = 0.0

    @property
    def progress(self) -> float:
        """Share of the run, or of its present stage, that is done: of its time, or with --steps of its steps."""
        if self.stage:
            return self.stage_seconds / (60 * self.stage.minutes)
        return self.step / self.options.steps if self.options.steps else self.seconds / (60 * self.options.minutes)

    @property
    def stage(self) -> Stage | None:
        """The present stage, where there are several."""
        return self.stages[self.stage_number] if self.stages else None

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        options, progress = self.options, self.progress
        if self.stage:
            return self.stage.rate(progress) * min(1.0, (self.step + 1) / options.warmup_steps)
        return rate(progress, options.learning_rate, options.schedule, options.warmup, options.decay_from)

    def next_stage(self) -> bool:
        """Ends a stage: keeps its weights and state under its name, goes on with the next one; False after the last."""
        save_npz(Path(self.options.output_dir) / f"{self.stage.name}.npz", to_mindspore(self.average))
        self._write_state(self._state_of(self.stage.name))
        if self.stage_number + 1 == len(self.stages):
            return False
        self.stage_number += 1
        self.stage_seconds = 0.0
        if self.stage.start:
            self._take_over(self._state_of(self.stage.start))
        return True

    def _state_of(self, stage: str) -> str:
        return os.path.join(os.path.dirname(self.state_path), f"{stage}.pt")

    def batch(self, ring: Ring) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Drawn and real words for one step, augmented: images (N, 3, 32, W) 0 to 255, labels and lengths."""
        options, dice = self.options, self.dice(0)
        self._augmenting.manual_seed(int(self.dice(1).integers(2**63)))
        real = round(options.batch_size * (self.stage.real if self.stage else 0.0))
        parts = []
        for source, count, strengths in ((ring, options.batch_size - real, options.augment),
                                         (self.pack, real, options.augment_real)):
            if count:
                images, labels, lengths = source.sample(count, dice)
                parts.append((augment_batch(images, PRESETS[strengths], self._augmenting), labels, lengths))
        return tuple(map(torch.cat, zip(*parts, strict=True)))

    def dice(self, purpose: int) -> np.random.Generator:
        """Random numbers of the next step, by purpose: a run that goes on throws what it would have without a stop."""
        return np.random.default_rng((self.options.seed, self.step, purpose))

    def train_step(self, images: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """One step with images (N, 3, 32, W) 0 to 255; returns the CTC loss, still on the device."""
        options, progress = self.options, self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        self.model.train()
        images = (images / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=not options.float32):
            features = self.features(images)
        # The LSTMs in float32: PyTorch's autocast may run them in float16, whose gradients would need scaling.
        features = features.float()
        scores = self.model.sequence(features)
        steps, count, _ = scores.shape
        loss = functional.ctc_loss(functional.log_softmax(scores, 2), labels,
                                   torch.full((count,), steps, dtype=torch.int64), lengths, blank=CHARSET.blank,
                                   reduction="sum", zero_infinity=True) / count
        total = loss
        helper = options.aux_weight * max(0.0, 1 - progress / options.aux_ratio) if options.aux_ratio else 0.0
        if helper:
            targets = frame_targets(labels, lengths, steps)
            total = loss + helper * functional.cross_entropy(self.head(features).flatten(0, 1),
                                                             targets.flatten())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([p for p in self.parameters if p.grad is not None], options.clip)
        self.optimizer.step()
        self.step += 1
        self.images += count
        decay = min(options.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averaged, self._current, 1 - decay)
        return loss.detach()

    def save(self) -> None:
        """Writes weights.npz (the average, MindSpore's names), its parts, and the state to go on from."""
        folder = Path(self.options.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        weights = to_mindspore(self.average)
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise CRNNError("the weights are not finite any more: the last saved ones stay; lower --learning_rate")
        save_npz(folder / "weights.npz", weights)
        if self.options.part_mib:
            save_parts(folder, weights, self.options.part_mib * 2**20)
        self._write_state(self.state_path)

    def _write_state(self, path: str) -> None:
        """Writes all that is needed to go on from here; the file is there whole or not at all."""
        state = {name: getattr(self, name).state_dict() for name in _LEARNT}
        torch.save({**state, "step": self.step, "images": self.images, "drawn": self.drawn, "seconds": self.seconds,
                    "stage_number": self.stage_number, "stage_seconds": self.stage_seconds}, path + ".part")
        os.replace(path + ".part", path)

    def _take_over(self, path: str) -> dict[str, object]:
        """Takes weights and optimizer over from a state; returns the state, for how far it is."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name in _LEARNT:
            getattr(self, name).load_state_dict(state[name])
        return state

    def resume(self) -> bool:
        """Goes on from the state file, where there is one.

        Raises:
            CheckpointError: the file is a folder, damaged, or no state of this program.
        """
        path = self.state_path
        if os.path.isdir(path):
            raise CheckpointError(f"the state {path} is a folder; give --state the name of a file in it")
        if not os.path.isfile(path):
            return False
        try:
            state = self._take_over(path)
            self.step, self.images, self.drawn = state["step"], state["images"], state["drawn"]
            self.seconds = state["seconds"]
            self.stage_number, self.stage_seconds = state.get("stage_number", 0), state.get("stage_seconds", 0.0)
        except (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError,
                pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} is damaged, or no state that this program wrote: remove it to begin anew, "
                                  "with --init from the weights.npz saved last") from error
        return True


def run(trainer: TwinTrainer, feed: WordFeed, validation: Chunk, signals: StopSignals) -> bool:
    """Trains until the budget, the session or a signal ends it; returns whether the run is complete."""
    options = trainer.options
    ring, before = Ring(options.ring, trainer.device, trainer.layout), trainer.drawn
    while ring.filled < min(ring.capacity, options.prefill) and not signals.received:
        ring.add(feed.take(wait=True))
    log = Log(trainer, validation)
    start, earlier = time.monotonic(), trainer.seconds
    stage_start, stage_earlier = start, trainer.stage_seconds
    session_end = start + 60 * options.session_minutes if options.session_minutes else math.inf
    saved, first, done = start, trainer.images, False
    while not done and time.monotonic() < session_end and not signals.received:
        used = trainer.images - first + options.batch_size
        while chunk := feed.take(wait=used > options.reuse * ring.drawn):
            ring.add(chunk)
        due = log.add(trainer.train_step(*trainer.batch(ring)))
        now = time.monotonic()
        trainer.seconds, trainer.drawn = earlier + now - start, before + ring.drawn
        trainer.stage_seconds = stage_earlier + now - stage_start
        saving, ended = now - saved >= 60 * options.save_minutes, trainer.progress >= 1
        if due or saving or ended:
            log.line(read=saving or ended and bool(trainer.stages))
        if ended:
            done = not trainer.stages or not trainer.next_stage()
            if not done:
                print(f"stage {trainer.stage.name}", flush=True)
                stage_start, stage_earlier = time.monotonic(), 0.0
        if saving:
            trainer.save()
            saved = time.monotonic()
    trainer.save()
    read = log.close()
    print(f"{'complete' if done else 'stopped: the same command goes on'}: {trainer.images} images, "
          f"{trainer.seconds / 60:.1f} minutes, {read:.2%} of {len(validation.images)} held-out words")
    return done


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-o", "--output_dir", required=True, help="folder for weights.npz, log.tsv, config.json and state.pt")
    add("--state", default="", help="the state to go on from, where it is not to lie in OUTPUT_DIR")
    add("--part_mib", type=float, default=0, help="write the weights in parts of at most so many MiB, too")
    add("--init", nargs="+", default=[], metavar="NPZ", help="weights to begin with (MindSpore's names, all parts)")
    add("--fonts", nargs="+", default=None, metavar="DIR",
        help="folders of fonts (default: the installed font packages and the fonts of the system)")
    add("--lexicon", default="", help="word list, one a line (default: 7,000 common English words)")
    add("--style", default="hard", choices=["easy", "medium", "hard"], help="of the words (default: %(default)s)")
    add("--width", type=int, default=Layout().width, help="columns of the images (default: %(default)s)")
    add("--stage", action="append", default=[], metavar="KEY=VALUE,...",
        help="instead of --minutes and --schedule, several times: one stage after the other, such as "
             "name=flat,minutes=6,rate=2e-3 and name=real,minutes=2,rate=2e-3:0,real=0.3,from=flat; NAME.npz keeps the "
             "weights at the end of each")
    add("--warmup_steps", type=int, default=300, help="first steps of all stages (default: %(default)s)")
    add("--real", default="", help="real words for stages with real=SHARE, a file of tools/pack_words.py")
    add("--real_val", default="", help="real words to read at each save, likewise")
    add("--augment_real", default="strong", choices=list(PRESETS),
        help="of real words, on the device (default: %(default)s)")
    add("--digits_ratio", type=float, default=0.1, help="share of numbers (default: %(default)s)")
    add("--strings_share", type=float, default=0.05, help="share of random strings (default: %(default)s)")
    add("--augment", default="light", choices=list(PRESETS), help="on the device (default: %(default)s)")
    add("--minutes", type=float, default=25, help="time budget of the whole run (default: %(default)s)")
    add("--steps", type=int, default=None, help="a number of steps instead")
    add("--session_minutes", type=float, default=0, help="save and end after this time, to go on later")
    add("--batch_size", type=int, default=512, help="images a step (default: %(default)s)")
    add("--learning_rate", type=float, default=2e-3, help="peak (default: %(default)s)")
    add("--schedule", default="cosine", choices=["cosine", "flat"],
        help="cosine falls all the way, flat from --decay_from on; both to 0 at the end (default: %(default)s)")
    add("--decay_from", type=float, default=0.6, help="share of the run (default: %(default)s)")
    add("--warmup", type=float, default=0.01, help="share of the run (default: %(default)s)")
    add("--weight_decay", type=float, default=1e-3, help="of AdamW (default: %(default)s)")
    add("--clip", type=float, default=5.0, help="largest norm of the gradient (default: %(default)s)")
    add("--ema", type=float, default=0.9995, help="of the averaged weights (default: %(default)s)")
    add("--aux_weight", type=float, default=1.0, help="of the loss of single steps (default: %(default)s)")
    add("--aux_ratio", type=float, default=0.03, help="share of the run over which it fades (default: %(default)s)")
    add("--reuse", type=float, default=3.0, help="times each image is used at most, on average (default: %(default)s)")
    add("--ring", type=int, default=262144, help="images kept on the device (default: %(default)s)")
    add("--prefill", type=int, default=16384, help="images drawn before the first step (default: %(default)s)")
    add("--workers", type=int, default=0, help="drawing processes; 0: two fewer than there are cores")
    add("--val", type=int, default=2048, help="held-out words (default: %(default)s)")
    add("--save_minutes", type=float, default=2, help="between two saved states (default: %(default)s)")
    add("--log_steps", type=int, default=100, help="between two lines of the log (default: %(default)s)")
    add("--device", default="", help="such as cuda or cpu (default: cuda where there is one)")
    add("--float32", action="store_true", help="no bfloat16")
    add("--compile", action="store_true", help="compile the convolutions: a minute at the start, faster steps")
    add("--seed", type=int, default=1, help="of weights, words and order (default: %(default)s)")
    options = parser.parse_args(argv)
    for name in ("minutes", "steps", "batch_size", "learning_rate", "clip", "reuse", "ring", "prefill", "val",
                 "save_minutes", "log_steps", "warmup_steps"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise ConfigError(f"--{name} {value} must be above 0")
    for name in ("workers", "part_mib", "session_minutes", "weight_decay", "aux_weight", "aux_ratio"):
        if not getattr(options, name) >= 0:
            raise ConfigError(f"--{name} {getattr(options, name)} must be 0 or more")
    for name in ("digits_ratio", "strings_share", "ema"):
        if not 0 <= getattr(options, name) <= 1:
            raise ConfigError(f"--{name} {getattr(options, name)} must be between 0 and 1")
    if not 0 < options.warmup < 1 or not 0 <= options.decay_from < 1:
        raise ConfigError("--warmup and --decay_from are shares of the run, above 0 and below 1")
    if any(stage.real for stage in parse_stages(options.stage)) and not options.real:
        raise ConfigError(f"--real {options.real!r} is no file, but a stage wants real words: make one with "
                          "tools/pack_words.py")
    if options.width < 9:
        raise ConfigError(f"--width {options.width} must be 9 or more")
    return options


def find_device(name: str) -> torch.device:
    """The device of a name such as cuda:1; without one CUDA's first, or the processor where there is none.

    Raises:
        ConfigError: PyTorch cannot compute there.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.rand(1, device=device, generator=torch.Generator(device)).item()
    except (RuntimeError, AssertionError, ImportError) as error:
        offered = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise ConfigError(f"--device {name} cannot be used ({textwrap.shorten(str(error), 80)}); PyTorch "
                          f"{torch.__version__} offers {offered} here") from error
    return device


def main(argv: list[str] | None = None) -> int:
    """Trains as the command line says; returns the exit code."""
    options = parse(argv)
    device = find_device(options.device)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = True
    style = RenderStyle.preset(options.style)
    fonts = find_fonts(options.fonts, clean=style.clean_fonts)
    words, held_out = plan_feed(read_lexicon(options.lexicon) if options.lexicon else None, _PLANNED, options.val,
                                options.seed, options.digits_ratio, options.strings_share, Layout(options.width))
    trainer = TwinTrainer(options, device)
    resumed = trainer.resume()
    if trainer.progress >= 1 and trainer.stage_number + 1 >= len(trainer.stages):
        raise ConfigError(f"the run in {options.output_dir} is complete: raise --minutes or --steps, or give another "
                          "--output_dir")
    workers = options.workers or max(1, available_cores() - 2)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    # Now, not at the first save: minutes of training would be lost.
    for folder in (options.output_dir, os.path.dirname(trainer.state_path) or "."):
        os.makedirs(folder, exist_ok=True)
    write_config(Path(options.output_dir) / "config.json",
                 {"from_step": trainer.step, "torch": torch.__version__, "device_name": name, "faces": len(fonts),
                  "words": len(words.lexicon), "drawing_processes": workers, "options": vars(options)}, resumed)
    print(f"torch {torch.__version__} on {name}; {len(fonts)} faces, {len(words.lexicon)} words, "
          f"{workers} drawing processes" + (f"; going on after {trainer.step} steps" if resumed else ""), flush=True)
    with StopSignals() as signals:
        feed = WordFeed(style, fonts, words, workers, options.seed, trainer.drawn, trainer.layout)
        try:
            # Other images than those of training: the seed is another one, and so are the words.
            validation = draw_chunk(WordRenderer(style, fonts, options.seed + 2**31), held_out, 0, options.val,
                                    trainer.layout)
            complete = run(trainer, feed, validation, signals)
        finally:
            feed.close()
    return 128 + signals.received if signals.received and not complete else 0


if __name__ == "__main__":
    run_main(main)
