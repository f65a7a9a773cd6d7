"The cache survives kills, threads, damage and full use, and never fails a run."
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fishlearn import cache
from fishlearn.cache import (
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

CUT_OFF = """import os
from fishlearn.cache import _connect
base = _connect()
base.execute("insert into contents (value) values (?)", (bytes(10_000_000),))
base.execute("insert into names values ('cut', 'off', last_insert_rowid(), 10000000, 0)")
os.kill(os.getpid(), 9) if os.name == "posix" else os._exit(1)"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / "cache"))
    return cache_folder()


def age(): cache._with_cache(lambda base: base.execute("update names set used = 0"), None)


def test_folder_that_cannot_be_written_is_replaced(monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", sys.executable)
    assert cache_folder() == cache_folder() != Path(sys.executable)
    assert cache_folder().is_dir()


def test_threads_write_at_the_same_time():
    def write(i): put_many("numbers", {str(n): bytes(1000) for n in range(i, i + 50)})
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


def test_a_damaged_file_is_deleted(folder):
    put("1", 2)
    cache._OPENED.base.close()
    cache._OPENED.key = None
    (folder / "kept.sqlite").write_bytes(b"no database" * 1000)
    assert get("1") is None
    put("1", 2)
    assert get("1") == 2
    clear()
    assert len(cache_table()) == 0


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
