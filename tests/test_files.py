"Writing a file never leaves it half done, never goes through a link it should not, and never over what is needed."
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from fishlearn.errors import ArgumentError, JobError
from fishlearn.files import _check_file, _replacing, _write_error, _write_file


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)


def names(folder="."): return sorted(p.name for p in Path(folder).iterdir())


def test_file_needs_a_folder():
    with pytest.raises(JobError, match="cannot be written: there is no folder nowhere"): _check_file("nowhere/a.json")
    with pytest.raises(JobError, match="a.json cannot be written"): _write_file("nowhere/a.json", "{}")
    Path("model").mkdir()
    with pytest.raises(ArgumentError, match="model is a folder"): _check_file("model")
    assert _check_file(None) is None


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(),
                                   RuntimeError("I/O error: No space left on device (os error 28)"), ValueError("x")])
def test_failure_keeps_the_old_file_and_leaves_nothing(error):
    _write_file("a.json", "old")
    with pytest.raises((JobError, KeyboardInterrupt, ValueError)) as e, _replacing("a.json") as spare:
        spare.write_text("half")
        raise error
    assert (Path("a.json").read_text(), names()) == ("old", ["a.json"])
    if isinstance(error, (OSError, RuntimeError)): assert "free some space" in str(e.value)


def test_names_that_are_no_text():
    _write_file("a.csv", "caf\udce9\n")
    assert Path("a.csv").read_bytes() == b"caf\\udce9\n"


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_modes_follow_the_umask(umask):
    before = os.umask(umask)
    try: _write_file("a.json", "{}")
    finally: os.umask(before)
    assert stat.S_IMODE(os.stat("a.json").st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_mode_of_a_replaced_file_is_kept(mode):
    "A private result became readable for everyone."
    _write_file("a.json", "{}")
    os.chmod("a.json", mode)
    _write_file("a.json", "[]")
    assert (stat.S_IMODE(os.stat("a.json").st_mode), Path("a.json").read_text()) == (mode, "[]")


def test_part_is_unguessable_and_exclusive(monkeypatch):
    "Two writers of one file have different hidden places, readable by nobody else."
    with _replacing("a.json") as first, _replacing("a.json") as second:
        assert first.parent != second.parent and len(first.parent.name.rsplit("-", 1)[1]) >= 16
        assert stat.S_IMODE(first.parent.stat().st_mode) == 0o700


def test_guessed_name_is_not_followed():
    "The name of the hidden file was `.name.part`, and a link of that name was followed."
    Path("precious").write_text("precious")
    Path(".a.json.part").symlink_to("precious")
    _write_file("a.json", "{}")
    assert Path("precious").read_text() == "precious"


def test_link_is_written_through():
    Path("real.json").write_text("old")
    Path("link.json").symlink_to("real.json")
    _check_file("link.json")
    _write_file("link.json", "new")
    assert Path("link.json").is_symlink() and Path("real.json").read_text() == "new"
    Path("later.json").symlink_to("not_yet.json")
    _write_file("later.json", "new")
    assert Path("later.json").is_symlink() and Path("not_yet.json").read_text() == "new"


def test_pipe_and_devices_stay(capfd):
    os.mkfifo("pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append(Path("pipe").read_text()))
    reader.start()
    _check_file("pipe")
    _write_file("pipe", "through the pipe")
    reader.join()
    assert got == ["through the pipe"] and stat.S_ISFIFO(os.stat("pipe").st_mode)
    _check_file("/dev/null")
    _write_file("/dev/null", "text")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(JobError, match="/dev/full cannot be written: No space left"): _write_file("/dev/full", "text")
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
    _write_file("/dev/stdout", "answers\n")
    assert capfd.readouterr().out == "answers\n" and names() == ["pipe"]


def test_open_file_is_added_to():
    "`> log.txt` with `--csv /dev/stdout`: what is there stays."
    with open("log.txt", "w") as log:
        log.write("first\n")
        log.flush()
        _write_file(f"/dev/fd/{log.fileno()}", "second\n")
    assert Path("log.txt").read_text() == "first\nsecond\n"


def test_sockets_are_refused():
    s = socket.socket(socket.AF_UNIX)
    s.bind("socket")
    with pytest.raises(ArgumentError, match="is a disk or a socket"): _check_file("socket")


@pytest.mark.parametrize("head", [b"\xff\xd8\xff\xe0\0\x10JFIF", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"SQLite format 3\0"])
def test_what_is_no_text_is_kept(head):
    Path("a.csv").write_bytes(head)
    with pytest.raises(ArgumentError, match="a.csv is not a text file and is not overwritten"): _check_file("a.csv")
    with pytest.raises(ArgumentError, match="a.csv is not a chart"): _check_file("a.csv", picture=True)


def test_files_of_models_and_trainings_are_kept():
    for name in ("m/species.json", "m/README.md", "m.run/state.safetensors", "m.run/history.csv"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("text")
    for name in ("m/species.json", "m/README.md", "m/photos.csv"):
        with pytest.raises(ArgumentError, match="belongs to a model"): _check_file(name)
    with pytest.raises(ArgumentError, match="belongs to a training"): _check_file("m.run/history.csv")
    Path("link.csv").symlink_to("m/README.md")
    with pytest.raises(ArgumentError, match="belongs to a model"): _check_file("link.csv")
    _check_file("m/answers.csv")


def test_charts():
    from matplotlib.figure import Figure
    fig = Figure(figsize=(1, 1))
    with _replacing("chart.png") as spare: fig.savefig(spare)
    _check_file("chart.png", picture=True)
    Path("photo.png").write_bytes(b"\x89PNG\0 after an evening with matplotlib")
    with pytest.raises(ArgumentError, match="is not a chart of an earlier run"): _check_file("photo.png", picture=True)


@pytest.mark.parametrize("name, error", [("x" * 300, "File name too long"), ("a\0b", "NUL"), ("loop", "loop|symbolic")])
def test_odd_names(name, error):
    Path("loop").symlink_to("loop")
    with pytest.raises((ArgumentError, JobError), match=error): _check_file(name) or _write_file(name, "x")
    assert len(str(_write_error("x" * 300, "why"))) < 150


def test_long_names():
    name = "é" * 120 + ".csv"
    _check_file(name)
    _write_file(name, "x")
    assert names() == [name]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="mounting needs root")
def test_full_and_read_only_disks():
    Path("disk").mkdir()
    if os.system("mount -t tmpfs -o size=64k tmpfs disk 2>/dev/null"): pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(JobError, match="No space left on device; free some space"): _write_file("disk/a", "x" * 10**6)
        assert names("disk") == []
        os.system("mount -o remount,ro disk")
        with pytest.raises(JobError, match="Read-only file system; choose a place"): _check_file("disk/a")
    finally: os.system("umount disk")
