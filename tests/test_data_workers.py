"Sound photos are never blamed for the machine: workers that cannot start, or die for no fault of theirs."
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from fishlearn.data import workers
from fishlearn.data.folders import from_folder
from fishlearn.data.health import _inspect_all, check_photos
from fishlearn.data.inspect import _Facts
from fishlearn.data.known import _file_key, _inspect_once
from fishlearn.data.workers import _inspect_batch, _inspect_rows, _map_batches, _NoWorkers
from fishlearn.errors import JobError
from fishlearn.samples.fish import sample_fish


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def warnings_of(monkeypatch):
    told = []
    monkeypatch.setattr(workers.logger, "warning", told.append)
    return told


def raising(error):
    def fail(*args, **kwargs): raise error
    return fail


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), FileNotFoundError(2, "No such file or directory"),
                                   ImportError("This platform lacks a functioning sem_open implementation"),
                                   BlockingIOError(11, "Resource temporarily unavailable")])
def test_where_no_worker_starts_one_process_reads(monkeypatch, warnings_of, error):
    sample_fish("fish", per_species=1, size=64, broken=2)
    monkeypatch.setattr(workers.loky, "get_reusable_executor", raising(error))
    before = os.environ["FISHLEARN_CACHE"]
    table = check_photos("fish")
    assert table.status.value_counts().to_dict() == dict(ok=7, unreadable=2)
    [told] = warnings_of
    assert str(error.args[-1]) in told and "photos are read in this process, one after the other" in told
    assert os.environ["FISHLEARN_CACHE"] == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
@pytest.mark.parametrize("options", ["-o size=4k", "-o ro"])
def test_shared_memory_full_or_missing(options, tmp_path):
    program = ("from fishlearn.data.health import check_photos; "
               "print(check_photos('fish').status.value_counts().to_dict())")
    sample_fish("fish", per_species=1, size=64)
    shell = f"mount -t tmpfs {options} tmpfs /dev/shm && {{ head -c 9000 /dev/zero > /dev/shm/full; exec {sys.executable} -c \"{program}\"; }}"
    env = os.environ | dict(PYTHONPATH=str(Path(workers.__file__).parents[2]))
    done = subprocess.run(["unshare", "-rm", "sh", "-c", shell], capture_output=True, text=True, env=env)
    if "unshare" in done.stderr or "mount:" in done.stderr: pytest.skip("may not mount anything here")
    assert done.stdout.splitlines()[-1] == "{'ok': 9}", done.stderr
    assert "No other process can be started here" in done.stdout


def die_twice(batch, seconds, folder):
    "Die with the batch and with the first photo alone, as if the system ended the process; then work."
    if len(os.listdir(folder)) < 2:
        Path(folder, str(os.getpid())).touch()
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return [_Facts("ok", "") for _ in batch]


def test_a_worker_that_is_killed_does_not_cost_the_photo(tmp_path):
    (tmp_path / "deaths").mkdir()
    work = partial(die_twice, folder=str(tmp_path / "deaths"))
    found = dict(_inspect_rows(work, [(i, f"{i}.jpg") for i in range(3)], batch_size=8, seconds=20))
    assert [found[i].status for i in range(3)] == ["ok"] * 3


def die(batch, seconds): os._exit(1)


def test_workers_that_always_die_end_the_job(monkeypatch):
    monkeypatch.setattr(workers, "_MAX_CRASHES", 2)
    rows = [(i, f"{i}.jpg") for i in range(9)]
    with pytest.raises(JobError, match="Worker processes crash again and again, the last time at 1.jpg"):
        list(_inspect_rows(die, rows, batch_size=4, seconds=60))


def test_a_pool_that_is_gone_ends(monkeypatch):
    class Gone:
        def submit(self, *args): raise RuntimeError("cannot schedule new futures after shutdown")
    monkeypatch.setattr(workers, "_start_pool", Gone)
    assert list(_map_batches(die, [[1], [2], [3]])) == [([1], None), ([2], None), ([3], None)]


def test_workers_that_start_but_do_not_work(monkeypatch):
    monkeypatch.setattr(workers, "_is_running", partial(os._exit, 1))
    with pytest.raises(_NoWorkers): list(_map_batches(die, [[1]]))


def wait_for_the_cache(batch, seconds, slow):
    "Inspect a batch while the cache answers slowly, or while a photo is read slowly."
    def inspect(photo, preprocessing, waiting):
        if slow == "cache":
            with waiting(): time.sleep(3 * seconds)
        else: time.sleep(3 * seconds)
        return _inspect_once(photo, preprocessing)
    workers._inspect_once = inspect
    return _inspect_batch(batch, seconds)


@pytest.mark.parametrize("slow, status", [("cache", "ok"), ("photo", "unreadable")])
def test_the_clock_of_a_photo_stops_while_the_cache_is_waited_for(slow, status):
    sample_fish("fish", per_species=1, size=64)
    rows = [(0, os.path.abspath(from_folder("fish").path[0]))]
    [(_, facts)] = _inspect_rows(partial(wait_for_the_cache, slow=slow), rows, batch_size=1, seconds=.5)
    assert facts.status == status


def test_names_that_are_not_utf8(tmp_path):
    sample_fish("fish", per_species=1, size=64)
    source = from_folder("fish").path[0]
    paths = [os.fsdecode(os.fsencode(str(tmp_path)) + name) for name in (b"/D\xf6bel.jpg", b"/odd.\xf6", b"/D\xf6bel.png")]
    for path in paths:
        try: Path(path).write_bytes(Path(source).read_bytes())
        except OSError: pytest.skip("this file system has UTF-8 names only")
    assert all(_file_key(p, settled=-1).encode() for p in paths)
    photos = [*paths, paths[0] + "#xywh=2,2,40,40"]
    for _ in range(2):
        facts = _inspect_all(photos)
        assert facts.status.tolist() == ["ok"] * 4
        assert facts.reason.tolist() == ["", "is a JPEG named .\\udcf6", "is a JPEG named .png", ""]
