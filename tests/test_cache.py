"The cache survives kills, threads, damage and full use, and never fails a run."
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fishlearn import cache, database
from fishlearn.cache import (
    _cache_file,
    _checksum,
    _contained,
    cache_folder,
    cache_limit,
    cache_table,
    clear,
    evict,
    get,
    get_many,
    put,
    put_many,
)
from fishlearn.errors import JobError

CUT_OFF = """import os
from fishlearn.cache import _cache_file
from fishlearn.database import _connect
base = _connect(_cache_file())
base.execute("begin immediate")
base.execute("insert into contents (value) values (?)", (bytes(10_000_000),))
base.execute("insert into names values ('cut', 'off', last_insert_rowid(), 10000000, 0, 0)")
os.kill(os.getpid(), 9) if os.name == "posix" else os._exit(1)"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(database, "_TOLD", set())
    return cache_folder()


def change(ask, *values):
    "Change the file behind the back of the cache."
    database._use(_cache_file(), lambda base: base.execute(ask, values), write=True)


def age(): change("update names set used = 0")


def next_run():
    "What a new process would begin with."
    database._disconnect()
    database._PAUSED.clear()


def warnings(capsys):
    return capsys.readouterr().out.strip().splitlines()


def test_folder_that_cannot_be_written_is_replaced(monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", sys.executable)
    assert cache_folder() == cache_folder() != Path(sys.executable)
    assert cache_folder().is_dir()


def test_nowhere_to_write_is_one_sentence(monkeypatch):
    def full(*args, **kwargs): raise OSError(28, "No space left on device")
    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    cache._spare_folder.cache_clear()
    monkeypatch.setenv("FISHLEARN_CACHE", sys.executable + "/nowhere")
    with pytest.raises(JobError, match="nor a temporary folder can be written to"): cache_folder()


WRITE = """import sys
from fishlearn.cache import put_many
for i in range(30): put_many("numbers", {f"{sys.argv[1]} {i} {j}": bytes(50_000) for j in range(10)})"""


def test_processes_write_at_the_same_time_and_nothing_is_lost():
    writers = [subprocess.Popen([sys.executable, "-c", WRITE, str(n)]) for n in range(3)]
    assert [w.wait() for w in writers] == [0, 0, 0]
    assert len(_contained("numbers", [f"{n} {i} {j}" for n in range(3) for i in range(30) for j in range(10)])) == 900


def test_threads_write_at_the_same_time(tmp_path, monkeypatch):
    "They may also all find that there is no cache yet."
    def write(i): put_many("numbers", {str(n): bytes(1000) for n in range(i, i + 50)})
    for turn in range(30):
        monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / f"turn {turn}"))
        with ThreadPoolExecutor(8) as pool: list(pool.map(write, [*range(0, 100, 5), *range(0, 100, 5)]))
        assert len(get_many("numbers", map(str, range(200)))) == 145


def test_more_names_than_one_query_takes():
    put_many("numbers", {str(n): b"" for n in range(1201)})
    assert len(_contained("numbers", map(str, range(2000)))) == 1201


def test_an_entry_that_exists_is_not_replaced():
    for value in (b"first", b"second"): put_many("kind", {"name": value})
    assert get_many("kind", ["name"]) == {"name": b"first"}


def test_a_killed_process_leaves_nothing_half_done():
    put_many("greeting", {"cod": b"hello"})
    assert subprocess.run([sys.executable, "-c", CUT_OFF]).returncode
    assert _contained("cut", ["off"]) == set()
    assert get_many("greeting", ["cod"]) == {"cod": b"hello"}


@pytest.mark.parametrize("value", [b'{"pairs": [[0,', b"[" * 100_000])
def test_damaged_json_is_no_result(value):
    put_many("results", {"damaged": value})
    assert get("damaged") is None


@pytest.mark.parametrize("text, limit", [("0.5", 500_000_000), ("much", 10**10), ("inf", 10**10)])
def test_limit(monkeypatch, text, limit):
    monkeypatch.setenv("FISHLEARN_CACHE_GB", text)
    assert cache_limit() == limit


def test_the_least_recently_used_goes_first():
    for n in range(10): put_many("numbers", {str(n): bytes(1000)})
    assert [evict(), evict(limit=5500), evict(limit=5500, spare=0)] == [0, 0, 5]
    age()
    _contained("numbers", ["5"])
    get_many("numbers", ["7"])
    assert (evict(limit=0), _contained("numbers", "56789")) == (3, set("57"))


LOCKS = {"write": ["begin immediate"], "commit": ["begin exclusive"], "read": ["begin", "select * from sqlite_master"]}
HOLD = """import sqlite3, sys, time
base = sqlite3.connect(sys.argv[1], isolation_level=None)
for ask in sys.argv[2:]: base.execute(ask).fetchall()
print("held", flush=True)
time.sleep(60)"""


@pytest.fixture
def hold(folder):
    "Hold the file as a suspended program does."
    holders = []
    def start(how):
        holder = subprocess.Popen([sys.executable, "-c", HOLD, str(_cache_file()), *LOCKS[how]], stdout=subprocess.PIPE)
        holders.append(holder)
        assert holder.stdout.readline() == b"held\n"
        if os.name == "posix": holder.send_signal(signal.SIGSTOP)
    yield start
    for holder in holders:
        holder.kill()
        holder.wait()
        holder.stdout.close()


@pytest.mark.parametrize("how, kept", [("write", [b"old"]), ("commit", []), ("read", [b"old"])])
def test_a_lock_costs_a_run_a_second_and_what_can_be_read_is_read(hold, how, kept, capsys):
    put_many("pixels", {"old": b"old"})
    next_run()
    hold(how)
    start = time.monotonic()
    for i in range(200):
        put_many("pixels", {f"new {i}": b"new"})
        assert list(get_many("pixels", ["old", "new 0"]).values()) == kept
        assert _contained("pixels", ["old"]) == ({"old"} if kept else set())
    assert time.monotonic() - start < 2
    assert len(warnings(capsys)) == 1


@pytest.mark.parametrize("how", LOCKS)
def test_a_file_that_is_held_before_it_has_tables_is_passed_over(hold, how):
    hold(how)
    start = time.monotonic()
    for i in range(50):
        put_many("pixels", {str(i): b"new"})
        get_many("pixels", [str(i)])
    assert time.monotonic() - start < 2


def test_reading_and_marking_never_wait_for_a_writer(hold):
    put_many("pixels", {"old": b"old"})
    age()
    hold("write")
    start = time.monotonic()
    for _ in range(50): assert get_many("pixels", ["old"]) == {"old": b"old"}
    assert time.monotonic() - start < .4
    assert not [file for file, _ in database._PAUSED if file == str(_cache_file())]


def test_readers_leave_the_lock_to_others():
    put_many("pixels", {"old": b"old"})
    other = sqlite3.connect(_cache_file(), timeout=0, isolation_level=None)
    def work(base):
        list(cache._select(base, "pixels", ["old"]))
        other.execute("begin immediate")
        return other.execute("rollback")
    assert database._use(_cache_file(), work) is not None
    other.close()


def test_a_busy_cache_is_waited_for(monkeypatch):
    "Whoever writes often but gets further is no reason to give up."
    monkeypatch.setattr(database, "_wait", lambda *args, wait=database._wait: wait(*args[:2], .3))
    put_many("pixels", {"old": b"old"})
    other = sqlite3.connect(_cache_file(), timeout=0, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    def work():
        for i in range(8):
            time.sleep(.1)
            other.execute(f"pragma user_version = {i + 1}")
            other.execute("commit")
            other.execute("begin immediate" if i < 7 else "select 1")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        put_many("pixels", {"new": b"new"})
    other.close()
    assert get_many("pixels", ["new"]) == {"new": b"new"}


def flip(value, *bits):
    changed = bytearray(value)
    for bit in bits: changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("size", [10, 200_000])
def test_every_damage_of_a_value_is_noticed(size):
    random = np.random.default_rng(0)
    value = random.bytes(size)
    right = _checksum("pixels", "a", value)
    damaged = [flip(value, *random.integers(8 * size, size=n)) for n in (1, 3, 100) for _ in range(100)]
    damaged += [value[:-1], value + b"\0", value[1:] + value[:1], bytes(size), value[: size // 2] + bytes(size // 2)]
    for block in (512, 4096, 65536):
        damaged += [value[:block] + bytes(block) + value[2 * block:], value[block:2 * block] + value[:block] + value[2 * block:]]
    assert not [v for v in damaged if v != value and _checksum("pixels", "a", v) == right]
    assert right not in (_checksum("pixels", "b", value), _checksum("facts", "a", value))


@pytest.mark.parametrize("value", [b"", b"hellO", b"hello!", bytes(5), "hello", 5, None])
def test_a_damaged_value_is_dropped_and_made_anew(value, capsys):
    put_many("greeting", {"cod": b"hello", "eel": b"good day"})
    put("result", [1, 2])
    change("update contents set value = ? where value = ?", value, b"hello")
    assert get_many("greeting", ["cod", "eel"]) == {"eel": b"good day"}
    assert "are damaged" in warnings(capsys)[0]
    put_many("greeting", {"cod": b"hello"})
    assert get_many("greeting", ["cod"]) == {"cod": b"hello"} and get("result") == [1, 2]


@pytest.mark.parametrize("ask", [
    "delete from contents", "update names set content = 99", "update names set content = 'x'",
    "update names set checksum = null", "update names set content = 1", "update names set bytes = 'x', used = 'y', content = 0"])
def test_damaged_lists_of_entries_mend_themselves(ask):
    put_many("greeting", {"cod": b"hello", "eel": b"good day"})
    change(ask)
    get_many("greeting", ["cod", "eel"])
    evict(limit=0, spare=-1)
    for values in ({"cod": b"hello", "eel": b"good day"},) * 2:
        put_many("greeting", values)
        cache_table()
        assert get_many("greeting", values) == values


def text(file): file.write_text("my notes" * 100)
def nothing(file): file.write_bytes(b"")
def folder_of_that_name(file): (file / "photos").mkdir(parents=True)
def pipe(file): os.mkfifo(file)
def dangling(file): file.symlink_to("nowhere")
def no_header(file): file.write_bytes(bytes(100) + CACHE(file)[100:])
def no_pages(file): file.write_bytes(CACHE(file)[:100] + bytes(len(CACHE(file)) - 100))
def cut(file): file.write_bytes(CACHE(file)[:70_000])
def torn(file): file.write_bytes(CACHE(file)[:-1000])
def random_bytes(file): file.write_bytes(CACHE(file)[:72] + np.random.default_rng(0).bytes(len(CACHE(file)) - 72))


def CACHE(file):
    put_many("pixels", {str(n): bytes(30_000) for n in range(20)})
    database._disconnect()
    found = file.read_bytes()
    file.unlink()
    return found


def program(*asks):
    def other(file):
        with sqlite3.connect(file) as base:
            for ask in asks: base.execute(ask)
        base.close()
    return other


other_program = program("create table notes (text)", "insert into notes values ('mine')")
older_version = program("create table names (kind, name, content, bytes, used)", "create table contents (content, value)")
with_trigger = program(*database._SCHEMA.values(), "create trigger t after insert on names begin delete from names; end")


@pytest.mark.parametrize("damage, kept", [
    (text, True), (nothing, False), (folder_of_that_name, True), (dangling, True), (no_header, True), (no_pages, False),
    (cut, False), (torn, False), (random_bytes, False), (other_program, True), (older_version, True), (with_trigger, True)]
    + [(pipe, True)] * hasattr(os, "mkfifo"))
def test_a_damaged_or_foreign_file_makes_room_for_an_empty_cache(folder, damage, kept, capsys):
    database._disconnect()
    damage(_cache_file())
    next_run()
    put_many("greeting", {"cod": b"hello"})
    put_many("greeting", {"cod": b"hello"})
    for _ in range(3):
        assert get_many("greeting", ["cod"]) == {"cod": b"hello"}
        assert [evict(), list(cache_table().kind)[-1:]] == [0, ["greeting"]]
        next_run()
    assert [p.name for p in folder.iterdir() if p.name != _cache_file().name] == ["kept-2.sqlite.1"] * kept
    assert len(warnings(capsys)) <= 1


def test_a_file_that_may_not_be_used_makes_room(folder, monkeypatch, capsys):
    put_many("greeting", {"cod": b"hello"})
    next_run()
    monkeypatch.setattr("os.access", lambda file, mode: False)
    database._check_file_kind = lambda file, check=database._check_file_kind: setattr(database, "_check_file_kind", check) or check(file)
    put_many("greeting", {"cod": b"hello"})
    assert get_many("greeting", ["cod"]) == {"cod": b"hello"}
    assert "cannot be read and written; it was deleted" in warnings(capsys)[0]


def test_a_cache_that_another_process_clears_is_begun_anew():
    put_many("greeting", {"cod": b"hello"})
    _cache_file().unlink()
    put_many("greeting", {"eel": b"good day"})
    next_run()
    assert get_many("greeting", ["cod", "eel"]) == {"eel": b"good day"}


def test_a_full_disk_only_means_that_nothing_is_kept(monkeypatch, capsys):
    monkeypatch.setattr(database, "_SETTINGS", (*database._SETTINGS, "max_page_count = 5"))
    for i in range(20): put_many("pixels", {str(i): bytes(100_000)})
    assert 0 < len(get_many("pixels", map(str, range(20)))) < 5
    assert warnings(capsys) == [f"The cache {_cache_file()} cannot be used (database or disk is full); new results are not kept."]


def test_names_may_hold_what_file_names_hold():
    values = {"a\udcff.jpg": b"one", "nul\0.jpg": b"two", "\\udcff": b"three", "é": b"four"}
    put_many("pixels", values)
    assert get_many("pixels", values) == values and _contained("pixels", values) == values.keys()


def test_the_cache_of_an_earlier_version_is_removed(folder):
    older_version(folder / "kept.sqlite")
    put_many("greeting", {"cod": b"hello"})
    assert [p.name for p in folder.iterdir()] == ["kept-2.sqlite"]


def test_a_file_of_that_name_is_not_removed(folder):
    other_program(folder / "kept.sqlite")
    put_many("greeting", {"cod": b"hello"})
    assert (folder / "kept.sqlite").exists()


def test_what_is_shown_and_cleared_is_true(hold, folder):
    put_many("greeting", {"cod": b"hello"})
    next_run()
    hold("commit")
    with pytest.raises(JobError, match="cannot be read now, perhaps because another program has locked it"):
        cache_table()
    clear()
    assert len(cache_table()) == 0
    next_run()
    _cache_file().unlink()
    text(_cache_file())
    clear()
    assert (folder / "kept-2.sqlite.1").read_text() == "my notes" * 100


def test_a_held_cache_leaves_no_photo_out(hold, tmp_path):
    from fishlearn.data.health import check_photos, decode_all
    from fishlearn.samples.fish import sample_fish
    sample_fish(tmp_path / "photos", per_species=2, size=64)
    hold("commit")
    start = time.monotonic()
    assert set(check_photos(tmp_path / "photos").status) == {"ok"}
    table, decoded = decode_all(tmp_path / "photos", 32)
    assert decoded.at(table.path).shape == (len(table), 32, 32, 3)
    assert time.monotonic() - start < 20


def test_names_that_look_like_escaped_bytes_are_different_names(capsys):
    values = {"D\udcf6bel": b"bytes", r"D\udcf6bel": b"text", r"D\\udcf6bel": b"more text"}
    put_many("pixels", values)
    assert get_many("pixels", values) == values and not warnings(capsys)


def test_a_folder_named_locked_is_not_taken_for_a_lock(folder, capsys):
    error = PermissionError(13, "Permission denied", "locked/full")
    database._failed(_cache_file(), error, write=False)
    assert "cannot be used ([Errno 13] Permission denied" in warnings(capsys)[0]
    assert not database._is_damage(error, write=False)


def test_clear_with_a_folder_in_place_of_the_journal(tmp_path, monkeypatch):
    "It said that the cache cannot be deleted, which was gone by then."
    from pathlib import Path

    from fishlearn import cache
    monkeypatch.setattr(cache, "_cache_file", lambda: tmp_path / "kept-2.sqlite")
    (tmp_path / "kept-2.sqlite").touch()
    (tmp_path / "kept-2.sqlite-journal" / "mine").mkdir(parents=True)
    cache.clear()
    assert not (tmp_path / "kept-2.sqlite").exists() and Path(tmp_path, "kept-2.sqlite-journal/mine").is_dir()


SMALL = """
import os, sys
from pathlib import Path
from fishlearn.cache import get_many, put_many
folder = Path(os.environ["FISHLEARN_CACHE"])
for i in range(3):
    put_many("x", {f"{i}{j}": os.urandom(50000) for j in range(4)})
    get_many("x", [f"{i}0"])
print(sorted(f.name for f in folder.iterdir()))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a small disk")
@pytest.mark.parametrize("size", [20, 100, 200, 300, 600])
def test_a_small_disk_is_called_full_and_nothing_stays(tmp_path, size):
    mount = f"mount -t tmpfs -o size={size}k tmpfs '{tmp_path}' && exec '{sys.executable}' -c \"$0\""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode: pytest.skip("mounts are forbidden")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount, SMALL], env=dict(os.environ, FISHLEARN_CACHE=str(tmp_path)),
                          capture_output=True, text=True)
    *told, left = done.stdout.splitlines()
    assert done.returncode == 0 and len(told) == 1 and "is full); " in told[0], (done.stdout, done.stderr)
    assert left in ("[]", "['kept-2.sqlite']")
