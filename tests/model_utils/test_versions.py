"""Versions of MindSpore and numpy that do not work are refused before MindSpore is loaded."""
import pytest

import convert_checkpoint
from src.common.errors import ConfigError
from src.model_utils import context, versions
from src.model_utils.config import load_config
from src.model_utils.versions import check_versions, installed


@pytest.fixture
def given(monkeypatch):
    """Pretends that these versions are installed."""
    def change(**packages):
        monkeypatch.setattr(versions, "installed", packages.get)
    return change


@pytest.mark.parametrize("mindspore, numpy", [
    ("2.8.0", "1.26.4"), ("2.10.0", "1.26.4"), ("2.10.0rc1", "1.26.0"), ("3.0.0", "1.26.4"), ("dev", "1.26.4"),
    ("2.10.0", None), (None, "2.3.5"), (None, None)])
def test_versions_that_work(given, mindspore, numpy):
    given(mindspore=mindspore, numpy=numpy)
    check_versions()


@pytest.mark.parametrize("mindspore, numpy, message", [
    ("2.7.1", "1.26.4", "mindspore 2.7.1 is installed, but the oldest that works here is 2.8.0; install the"),
    ("1.10.1", "1.26.4", "mindspore 1.10.1 is installed, but"),
    ("2.10.0", "2.0.0", "numpy 2.0.0 is installed, but MindSpore is built for numpy 1; install the versions of"),
    ("2.8.0", "2.3.5", "numpy 2.3.5 is installed")])
def test_versions_that_do_not(given, mindspore, numpy, message):
    given(mindspore=mindspore, numpy=numpy)
    with pytest.raises(ConfigError, match=f"^{message}"):
        check_versions()


def test_programs_look_before_they_load_it(given):
    given(mindspore="2.7.1", numpy="1.26.4")
    with pytest.raises(ConfigError, match="the oldest that works here"):
        context.set_up_context(load_config([]))
    with pytest.raises(ConfigError, match="the oldest that works here"):
        convert_checkpoint.main(["weights.ckpt", "weights.safetensors"])


def test_what_is_installed():
    assert installed("numpy") and installed("no-such-package-as-this") is None
