"What reaches a terminal, and bars where there is none."
import io
import time

import pytest

from fishlearn import messages
from fishlearn.messages import _printable, _show, logger, progress_bar, quiet

HOSTILE = "\x1b]0;pwned\x07 \x9b2J \u202egpj.exe\u2066 \x7f\0\b \udcff\u2028"


def test_printable():
    assert _printable(HOSTILE) == r"\x1b]0;pwned\x07 \x9b2J \u202egpj.exe\u2066 \x7f\x00\x08 \udcff\u2028"
    assert _printable("a\nb\r\tc") == r"a\nb\r\tc" and _printable("a\nb\r", "\n") == "a\nb" + r"\r"
    assert _printable("Gadus morhua Linnæus, 鱈 שלום") == "Gadus morhua Linnæus, 鱈 שלום"


def test_logger_and_results(capsys):
    logger.info(f"{HOSTILE}\nsecond line")
    _show(HOSTILE, "second line")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown and shown.count("\n") == 4


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device")])
def test_messages_that_cannot_be_written_end_nothing(monkeypatch, capsys, error):
    class Full(io.StringIO):
        def write(self, text): raise error
    monkeypatch.setattr("sys.stdout", Full())
    logger.info("540 photos")
    assert capsys.readouterr().err == ""


@pytest.fixture
def clock(monkeypatch):
    "A clock that a test can put forward."
    now = [time.time()]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    def tick(seconds): now[0] += seconds
    return tick


def test_lines_in_place_of_bars(clock, capsys):
    for _ in progress_bar(range(200), "read \x1b[2J photos", disable=False): clock(.05)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 10 and lines[-1] == r"read \x1b[2J photos: 100 % (200 of 200)"
    assert lines[0].startswith(r"read \x1b[2J photos: 20 % (4")


def test_short_work_is_silent(clock, capsys):
    for _ in progress_bar(range(100), "squares", disable=False): clock(.019)
    with progress_bar(total=None, description="unknown", disable=False) as bar:
        for _ in range(100): bar.update(clock(1) or 1)
    assert capsys.readouterr().err == ""


def test_quiet_silences_lines(clock, capsys):
    with quiet():
        for _ in progress_bar(range(100), "squares", disable=False): clock(1)
    assert capsys.readouterr().err == ""


def test_terminals_have_bars(clock, capsys, monkeypatch):
    monkeypatch.setattr(messages, "_has_bars", lambda: True)
    for _ in progress_bar(range(100), "squares", disable=False): clock(1)
    assert "\r" in capsys.readouterr().err


def test_bytes_are_counted_in_units(clock, capsys):
    with progress_bar(total=10**9, description="download", unit="B", unit_scale=True, disable=False) as bar:
        for _ in range(10): bar.update(clock(1) or 10**8)
    assert "download: 30 % (300M of 1.00G)" in capsys.readouterr().err


def test_fastai_has_lines_and_no_bars(capsys, monkeypatch):
    from fastprogress import fastprogress
    for name in ("NO_BAR", "WRITER_FN"): monkeypatch.setattr(fastprogress, name, getattr(fastprogress, name))
    monkeypatch.setattr(fastprogress, "print", print, raising=False)
    def train():
        messages._silence_fastai_bars()
        bar = fastprogress.ConsoleMasterBar(range(2))
        for _ in bar:
            for _ in fastprogress.ConsoleProgressBar(range(3), parent=bar): pass
            bar.write(["epoch", "loss"], table=True)
    train()
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["epoch", "loss"]] * 2
    with quiet(): train()
    assert capsys.readouterr().out == ""
