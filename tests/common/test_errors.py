"""Messages of errors, and what becomes of Ctrl-C."""
import signal
import time

import pytest

from src.common.errors import CRNNError, DataError, run_main


@pytest.mark.parametrize(("given", "shown"), [
    ("a.mat: it has Img\nName\r", r"a.mat: it has Img\nName\r"), ("red \x1b[31m", r"red \x1b[31m"),
    ("two\u2028lines \x85", r"two\u2028lines \x85"), ("tab\there\0", r"tab\there\x00"),
    ("plain, 'quoted', é, 中文, C:\\new", "plain, 'quoted', é, 中文, C:\\new")])
def test_a_message_is_one_line_without_control_characters(given, shown):
    assert str(DataError(given)) == shown
    assert str(CRNNError(f"x: {DataError(given)}")) == f"x: {shown}", "quoted again, nothing changes"


@pytest.mark.usefixtures("default_ctrl_c")
def test_ctrl_c_waits_for_a_module_that_is_being_loaded(tmp_path, monkeypatch, capsys):
    (tmp_path / "slow_module.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nloaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    went_on = []

    def main(argv):
        import slow_module

        went_on.append(slow_module.loaded)
        time.sleep(10)
        went_on.append("to its end")

    with pytest.raises(SystemExit) as ended:
        run_main(main)
    assert ended.value.code == 130 and capsys.readouterr().err == "interrupted\n" and went_on == [True]


@pytest.mark.usefixtures("default_ctrl_c")
def test_ctrl_c_elsewhere_ends_at_once(capsys):
    went_on = []

    def main(argv):
        signal.raise_signal(signal.SIGINT)
        went_on.append("on")

    with pytest.raises(SystemExit) as ended:
        run_main(main)
    assert ended.value.code == 130 and capsys.readouterr().err == "interrupted\n" and not went_on


@pytest.mark.usefixtures("default_ctrl_c")
def test_where_ctrl_c_is_ignored_it_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(SystemExit):
        run_main(lambda argv: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
