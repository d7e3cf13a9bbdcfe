"""Runs of ``convert_checkpoint.py``: a trained network from one kind of file to another."""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from src.common.charset import Charset
from src.common.errors import CheckpointError
from src.common.files import keep_apart
from src.crnn import build_network
from src.network.adopt import check_facts
from src.network.checkpoint import Checkpoint, load_weights, read_checkpoint, write_arrays
from src.network.description import FACTS
from src.network.foreign import MINDOCR_CHARACTERS, is_mindocr, translate
from src.network.names import to_torch, torch_names
from src.network.new_charset import shared_characters, with_charset
from src.network.weight_files import SAFETENSORS, TORCH, read_safetensors, read_torch, write_safetensors, write_torch

CHECKPOINT = (".ckpt",)
_ZOO_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
ENDINGS = (*CHECKPOINT, *SAFETENSORS, *TORCH)


@dataclass(frozen=True)
class Conversion:
    """What to do.

    Attributes:
        source: file of weights, of any kind that is read; MindSpore's and numpy's ``.npz`` too.
        target: file to write; its ending says which kind.
        label_dict: characters that the new network shall have; empty: those of the old one.
        source_label_dict: characters of the old network, where its file does not tell.
        rgb: a network of MindOCR takes red, green, blue; False: blue, green, red.
        seed: of the rows of the last layer that are drawn.
    """

    source: str
    target: str
    label_dict: str = ""
    source_label_dict: str = ""
    rgb: bool = True
    seed: int = 1


def convert(job: Conversion) -> int:
    """Converts, reads the new file again and compares it; prints what was done. Returns the exit code.

    Raises:
        CheckpointError: a file cannot be used, or the ending of the target is unknown.
        ConfigError: characters that cannot be a charset.
    """
    if not job.target.endswith(ENDINGS):
        raise CheckpointError(f"{job.target}: the name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    keep_apart(job.target, [job.source])
    checkpoint, lines = open_weights(job)
    weights = whole_network(checkpoint)
    facts = {name: checkpoint.info[name] for name in (*FACTS, "temperature") if name in checkpoint.info}
    facts |= {"model_version": checkpoint.model_version}
    check_facts(facts, job.source)
    charset = _source_charset(job, checkpoint)
    if job.label_dict:
        wanted = Charset.from_config(job.label_dict)
        weights = with_charset(weights, charset, wanted, job.seed)
        facts.pop("temperature", None)
        lines.append(f"charset: {shared_characters(charset, wanted)} of the {len(wanted)} characters were in the old "
                     f"one and keep their rows of the last layer; the others are drawn from seed {job.seed} and are to "
                     "be trained")
        charset = wanted
    facts["label_dict"] = charset.characters
    _write(job.target, weights, facts)
    again = open_weights(Conversion(job.target, job.target))[0]
    if again.info.get("label_dict") != charset.characters or not _equal(again.weights, weights):
        raise CheckpointError(f"{job.target} does not hold what was written to it; is the disk sound?")
    count = sum(value.size for value in weights.values())
    print("\n".join([*lines, f"{job.target}: {checkpoint.model_version}, {charset.class_num} classes, {count:,} "
                     "numbers, read again and compared"]))
    return 0


def open_weights(job: Conversion) -> tuple[Checkpoint, list[str]]:
    """Reads the source under this project's names; also lines about what was done to it.

    Raises:
        CheckpointError: the file cannot be used.
    """
    if job.source.endswith(SAFETENSORS):
        values, info = read_safetensors(job.source)
    elif job.source.endswith(TORCH):
        values, info = read_torch(job.source)
    else:
        found = read_checkpoint(job.source)
        values, info = found.values, found.info
    try:
        weights, line = translate(values, job.rgb)
    except CheckpointError as error:
        raise CheckpointError(f"{job.source}: {error}") from error
    except (IndexError, ValueError) as error:  # names of a known network, arrays of other shapes
        raise CheckpointError(f"{job.source}: its arrays do not have the shapes of the network that their names are of "
                              f"({error})") from error
    weights = Checkpoint(job.source, weights).weights
    if is_mindocr(values) and not job.source_label_dict:
        info = {**info, "label_dict": MINDOCR_CHARACTERS}
    return Checkpoint(job.source, weights, info), [f"{job.source}: {line}"] if line else []


def whole_network(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """The network's weights, float32, checked for being all there, of the right shapes and finite.

    Raises:
        CheckpointError: they are not.
    """
    weights = {name: value.astype(np.float32) for name, value in checkpoint.weights.items()}
    names = torch_names(checkpoint.model_version)
    for name in names:
        if name not in weights:
            raise CheckpointError(f"{checkpoint.path} has no {name}; it is not a whole network")
    # Looks at shapes and values, too.
    load_weights(build_network(checkpoint.model_version, checkpoint.class_num, checkpoint.hidden_size),
                 Checkpoint(checkpoint.path, weights))
    return {name: weights[name] for name in names}


def _source_charset(job: Conversion, checkpoint: Checkpoint) -> Charset:
    """The characters of the source: what its file says, or the user, or the model zoo's."""
    told = checkpoint.info.get("label_dict")
    if told and job.source_label_dict and Charset.from_config(job.source_label_dict).characters != told:
        raise CheckpointError(f"{job.source} says that its characters are {told!r}; leave --source_label_dict out")
    charset = Charset(told) if told else Charset.from_config(job.source_label_dict or _ZOO_CHARACTERS)
    if charset.class_num != checkpoint.class_num:
        raise CheckpointError(f"{job.source} has {checkpoint.class_num} classes, but {len(charset)} characters and the "
                              f"blank make {charset.class_num}; give its characters with --source_label_dict")
    return charset


def _write(path: str, weights: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    if path.endswith(CHECKPOINT):
        write_arrays(path, weights, facts)
        return
    state = to_torch(weights, str(facts["model_version"]))
    if path.endswith(SAFETENSORS):
        write_safetensors(path, state, facts)
    else:
        write_torch(path, state, facts)


def _equal(some: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> bool:
    return some.keys() == others.keys() and all(np.array_equal(some[name], others[name]) for name in some)
