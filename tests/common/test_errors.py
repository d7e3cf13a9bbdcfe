"""Messages of errors."""
import pytest

from src.common.errors import CRNNError, DataError


@pytest.mark.parametrize(("given", "shown"), [
    ("a.mat: it has Img\nName\r", r"a.mat: it has Img\nName\r"), ("red \x1b[31m", r"red \x1b[31m"),
    ("two\u2028lines \x85", r"two\u2028lines \x85"), ("tab\there\0", r"tab\there\x00"),
    ("plain, 'quoted', é, 中文, C:\\new", "plain, 'quoted', é, 中文, C:\\new")])
def test_a_message_is_one_line_without_control_characters(given, shown):
    assert str(DataError(given)) == shown
    assert str(CRNNError(f"x: {DataError(given)}")) == f"x: {shown}", "quoted again, nothing changes"
