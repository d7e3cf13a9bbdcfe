"""Huawei Cloud ModelArts: copies data and checkpoint in before a program runs, and its results out after it."""
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import ModuleType

from src.common.errors import ConfigError, DataError
from src.data.source import LEXICONS
from src.distributed.environment import is_scheduler
from src.model_utils.config import Config
from src.model_utils.device_adapter import get_rank_id
from src.modelarts.archives import unpack_archives
from src.modelarts.node import LastAction, once_per_node

# Keys with paths that may be given relative to the local folders that ModelArts' addresses are copied to or from.
_IN_DATA = ("train_dataset_path", "train_eval_dataset_path", "eval_dataset_path", "calibration_path", "data_root",
            "image_folder", "lexicon")
_IN_CHECKPOINTS = ("resume_ckpt", "checkpoint_path", "ckpt_file", "language_model")
_IN_OUTPUT = ("output_dir", "save_checkpoint_path", "save_predictions", "file_name", "show_batch")
_CHECKPOINTS = (".ckpt", ".npz")

_inside = False


def is_inside() -> bool:
    """Whether the program runs inside :func:`modelarts` now."""
    return _inside


@contextlib.contextmanager
def modelarts(config: Config, data_key: str = "", checkpoint_key: str = "") -> Iterator[None]:
    """Where ``enable_modelarts`` is set, copies in before the block and out after it, however it ends.

    ``data_url`` goes to ``data_path``, where archives are unpacked, and ``checkpoint_url`` to ``load_path``, once for
    all processes of a node; after the block, also after an error, Ctrl-C or SIGTERM, ``output_path`` goes to
    ``train_url``, once for a node. Paths in the configuration that are relative become paths below these folders.

    Args:
        config: the options; its paths are changed.
        data_key: the key of the data set the program reads; empty, it becomes ``data_path`` itself, and so does, for
            training with ``run_eval``, the set to evaluate on.
        checkpoint_key: the key of its checkpoint; empty, it becomes the one that ``checkpoint_url`` brought.

    Raises:
        ConfigError: the package ``moxing`` is not there, or there are several checkpoints to choose from.
        DataError: something cannot be copied or unpacked.
    """
    global _inside
    if not config.enable_modelarts or is_scheduler():  # the scheduler of msrun reads no data
        _inside = config.enable_modelarts
        try:
            yield
        finally:
            _inside = False
        return
    file, rank = _moxing_file(), get_rank_id()
    with _sigterm_as_exit():
        _copy_in(file, config, rank)
        _point(config, data_key, checkpoint_key)
        os.makedirs(config.output_path, exist_ok=True)
        send_results = LastAction(f"{_plain(config.output_path)}.results.lock", rank)
        failed, _inside = True, True
        try:
            yield
            failed = False
        finally:
            _inside = False
            try:
                with _undisturbed():
                    send_results.run(lambda: _send(file, config))
            except DataError as error:
                if not failed:
                    raise
                print(f"warning: {error}", file=sys.stderr, flush=True)


def _moxing_file() -> ModuleType:
    try:
        import moxing  # only images of ModelArts have it

        return moxing.file
    except ImportError as error:
        raise ConfigError("enable_modelarts needs the package moxing, which is part of the images of Huawei's "
                          f"ModelArts and not here ({error}); elsewhere leave enable_modelarts out") from error


def _copy_in(file: ModuleType, config: Config, rank: int) -> None:
    """Brings data and checkpoint onto this node."""
    def data() -> None:
        _fetch(file, config.data_url, config.data_path, "data_url")
        for line in unpack_archives(config.data_path):
            print(f"unpacked {line}", flush=True)

    def checkpoint() -> None:
        _fetch(file, config.checkpoint_url, config.load_path, "checkpoint_url")

    if config.data_url:
        once_per_node(f"{_plain(config.data_path)}.data.lock", config.data_url, rank, data, "the data")
    if config.checkpoint_url:
        once_per_node(f"{_plain(config.load_path)}.checkpoint.lock", config.checkpoint_url, rank, checkpoint,
                      "the checkpoint")


def _fetch(file: ModuleType, source: str, folder: str, key: str) -> None:
    """Copies a folder, or one file, from ModelArts' storage into a folder."""
    print(f"copying {key} {source} to {folder}", flush=True)
    os.makedirs(folder, exist_ok=True)
    try:
        if file.is_directory(source):
            file.copy_parallel(source, folder)
        else:
            file.copy(source, os.path.join(folder, os.path.basename(source)))
    except Exception as error:  # moxing raises whatever its transport does
        raise DataError(f"{key} {source} cannot be copied to {folder}: {_first_line(error)}") from error
    if not os.listdir(folder):
        raise DataError(f"{key} {source} is empty: nothing came to {folder}")


def _send(file: ModuleType, config: Config) -> None:
    """Copies the results to ModelArts' storage."""
    if not config.train_url:
        print(f"note: no train_url given, the results stay in {config.output_path}", flush=True)
        return
    if not os.listdir(config.output_path):
        print(f"note: {config.output_path} is empty, nothing to copy to train_url", flush=True)
        return
    print(f"copying {config.output_path} to train_url {config.train_url}", flush=True)
    try:
        file.copy_parallel(config.output_path, config.train_url)
    except Exception as error:  # moxing raises whatever its transport does
        raise DataError(f"the results in {config.output_path} cannot be copied to train_url {config.train_url}: "
                        f"{_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].removesuffix(": ")


def _plain(folder: str) -> str:
    """A folder without the slash at its end, so that a file can lie beside it."""
    return os.path.abspath(folder)


def _point(config: Config, data_key: str, checkpoint_key: str) -> None:
    """Makes the paths of the configuration those on this node."""
    for keys, folder in ((_IN_DATA, config.data_path), (_IN_CHECKPOINTS, config.load_path)):
        for key in keys:
            path = getattr(config, key)
            if not path or os.path.isabs(path) or \
                    (key == "lexicon" and path.lower() in ("none", *LEXICONS)) or \
                    (key == "language_model" and path.lower() == "none"):
                continue
            inside = os.path.join(folder, path)
            # What lies beside the program, such as weights that came with it, is still found by its own path.
            if os.path.exists(inside) or not os.path.exists(path):
                setattr(config, key, inside)
    for key in _IN_OUTPUT:
        path = getattr(config, key)
        if path and not os.path.isabs(path):
            setattr(config, key, os.path.join(config.output_path, path))
    if data_key and config.data_url and not getattr(config, data_key):
        setattr(config, data_key, config.data_path)
    if data_key == "train_dataset_path" and config.run_eval and config.data_url:
        _point_evaluation(config)
    if checkpoint_key and config.checkpoint_url and not getattr(config, checkpoint_key):
        setattr(config, checkpoint_key, _only_checkpoint(config.load_path, checkpoint_key))


def _point_evaluation(config: Config) -> None:
    """Lets the evaluation while training read the copied data where its own set has no path."""
    if config.train_eval_dataset_path:
        return
    config.train_eval_dataset_path = config.data_path
    # In the training data's own folder the set is of their kind, unless the user says otherwise.
    if config.train_dataset_path == config.data_path and not config.is_given("train_eval_dataset"):
        config.train_eval_dataset = config.train_dataset


def _only_checkpoint(folder: str, key: str) -> str:
    """The checkpoint below a folder."""
    found = sorted(os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder)
                   for name in names if name.endswith(_CHECKPOINTS))
    if len(found) != 1:
        raise ConfigError(f"checkpoint_url brought {len(found)} checkpoints to {folder}"
                          f"{' (' + ', '.join(found[:5]) + ')' if found else ''}; say which with {key}")
    return os.path.join(folder, found[0])


@contextlib.contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Makes SIGTERM an exception with exit code 143, unless the program has another use for it."""
    def stop(*_: object) -> None:
        raise SystemExit(143)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(
            signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Lets nothing but SIGKILL break the copying of the results off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
