"""Fixtures shared by all tests."""
import os
import signal
from pathlib import Path

import pytest

import src  # noqa: F401 - tells OpenCV how large an image may be, before anything loads it

# Convolutions of MindSpore on AVX-512 machines are 100 times too slow without it; see docs/speed.md.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture
def signals_as_usual():
    """nohup, and a shell that starts the tests in the background, have them and all they start ignore some signals."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL, signal.SIGQUIT: signal.SIG_DFL,
             signal.SIGTERM: signal.SIG_DFL, signal.SIGUSR1: signal.SIG_DFL}
    before = {number: signal.signal(number, how) for number, how in usual.items()
              if signal.getsignal(number) == signal.SIG_IGN}
    yield
    for number, how in before.items():
        signal.signal(number, how)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository root."""
    return REPO


@pytest.fixture(scope="session")
def pretrained() -> Path:
    """The weights that come with the program."""
    return REPO / "pretrained" / "crnn_v2.ckpt"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the genuine benchmark files; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CRNN_SHARED_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"benchmark data not found at {folder}; set CRNN_SHARED_DATA to run this test")
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> str:
    """A data set of 70 images."""
    from tests.word_sets import make_set  # lazily: not every test needs what it imports

    return make_set(tmp_path_factory.mktemp("data") / "good")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> str:
    """The same with images that cannot be read."""
    from tests.word_sets import make_set

    return make_set(tmp_path_factory.mktemp("data") / "damaged", broken=(5, 20, 21, 47))


@pytest.fixture(scope="module")
def drawn_words(tmp_path_factory):
    """Makes a folder with images of the first words of ``tests.words.WORDS``, ``00.png`` and so on."""
    from tests.words import write_words

    return lambda *count: write_words(tmp_path_factory.mktemp("drawn"), *count)
