"""Progress display."""
from src.common.progress import Progress, format_seconds


class Terminal:
    """Keeps what is written; a terminal or not."""

    def __init__(self, live: bool):
        self.live = live
        self.text = ""

    def isatty(self) -> bool:
        return self.live

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_progress_redraws_on_a_terminal_and_prints_lines_elsewhere():
    live, plain = Terminal(True), Terminal(False)
    for stream in (live, plain):
        with Progress(50, "drawing", "img", stream=stream, interval=0.0) as bar:
            bar.skip(10)
            for _ in range(40):
                bar.update()
            bar.update(0, note="done")
    assert live.text.count("\n") == 1 and live.text.count("\r") >= 2 and "[####" in live.text
    assert "\r" not in plain.text and "drawing:  42% 21/50" in plain.text and "ETA" in plain.text
    assert plain.text.splitlines()[-1].startswith("drawing: 100% 50/50") and "img/s" in plain.text
    silent = Terminal(False)
    with Progress(5, "x", stream=silent, enabled=False) as bar:
        bar.update(5)
    assert silent.text == ""


def test_durations():
    assert [format_seconds(value) for value in (0, 59.4, 61, 3599, 7260)] == ["0s", "59s", "1m01s", "59m59s", "2h01m"]


def test_clear_wipes_the_line_of_a_terminal_only():
    live, plain = Terminal(True), Terminal(False)
    for stream in (live, plain):
        Progress(5, "x", stream=stream).clear()
    assert live.text == "\r\x1b[K" and plain.text == ""
