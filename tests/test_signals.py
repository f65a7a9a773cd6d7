"The program ends cleanly on every signal; a few kills at random moments."
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext

import pytest

from fishlearn.signals import _stop, _stoppable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
KILLS = int(os.environ.get("FISHLEARN_KILLS", 8))


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_program(tmp_path, name, status):
    "A sentence on stderr, the status of the signal, no traceback; workers end too."
    script = ("import sys, time; from fishlearn.cli import main; from fishlearn.commands.common import _app\n"
              "from fishlearn.data.workers import _map_batches\n"
              "@_app.command()\ndef wait():\n"
              "    for _, pids in _map_batches(work, [[1], [2], [3], [4]]): print(pids, flush=True)\n"
              "    time.sleep(60)\n"
              "def work(batch):\n    import os; return os.getpid()\n"
              "sys.argv = ['fishlearn', 'wait']; main()")
    p = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers = {int(p.stdout.readline()) for _ in range(4)}
    p.send_signal(getattr(signal, name))
    _, said = p.communicate(timeout=20)
    assert (p.returncode, said.count("\n")) == (status, 1) and said.startswith("fishlearn: stopped by "), said
    assert not any(map(alive, workers))


@pytest.mark.parametrize("name, status", [("SIGINT", 130), ("SIGTERM", 143)])
def test_imports_can_be_stopped(name, status):
    "A traceback from the middle of an import says nothing to anybody."
    script = ("import sys; from fishlearn.cli import main; import fishlearn.signals, builtins\n"
              "real = builtins.__import__\n"
              "def slow(name, *args):\n    if name == 'typer' and not told: import time; told.append(print('now', flush=True)); time.sleep(20)\n"
              "    return real(name, *args)\n"
              "told, builtins.__import__, sys.argv = [], slow, ['fishlearn', '--help']; main()")
    p = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.send_signal(getattr(signal, name))
    _, said = p.communicate(timeout=20)
    assert (p.returncode, said.count("\n")) == (status, 1) and said.startswith("fishlearn: stopped by "), said


@pytest.mark.parametrize("stopped", [False, True])
def test_signals_at_the_end_change_nothing(stopped):
    script = ("import atexit, sys, time; from fishlearn.cli import main; from fishlearn.commands.common import _app\n"
              "atexit.register(lambda: (print('end', flush=True), time.sleep(1.5)))\n"
              "@_app.command()\ndef wait(seconds: int):\n    print('now', flush=True); time.sleep(seconds)\n"
              f"sys.argv = ['fishlearn', 'wait', '{9 * stopped}']; main()")
    p = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    time.sleep(.3)
    if stopped: p.send_signal(signal.SIGINT)
    assert p.stdout.readline() == "end\n"
    for name in ("SIGINT", "SIGTERM"): p.send_signal(getattr(signal, name))
    _, said = p.communicate(timeout=20)
    assert (p.returncode, said) == ((130, "fishlearn: stopped by Ctrl-C.\n") if stopped else (0, ""))


def alive(pid, seconds=5):
    end = time.time() + seconds
    while time.time() < end:
        try:
            if b") Z" in open(f"/proc/{pid}/stat", "rb").read(): return False
        except OSError: return False
        time.sleep(.05)
    return True


def test_workers_end_when_their_parent_is_killed():
    "They lived on for a minute and a half."
    script = ("import time; from fishlearn.data.workers import _map_batches\n"
              "def work(batch):\n    import os; return os.getpid()\n"
              "for _, pids in _map_batches(work, [[1], [2], [3], [4]]): print(pids, flush=True)\ntime.sleep(60)")
    p = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    workers = {int(p.stdout.readline()) for _ in range(4)}
    p.kill()
    p.wait()
    assert not any(map(alive, workers))


def test_a_program_that_hangs_while_it_cleans_up_ends_all_the_same():
    script = ("import sys, time; from fishlearn.cli import main; from fishlearn.commands.common import _app; from fishlearn.signals import _stop\n"
              "_stop.patience = .5\n@_app.command()\ndef wait():\n    print(flush=True)\n    while True:\n"
              "        try: time.sleep(60)\n        except KeyboardInterrupt: pass\n"
              "sys.argv = ['fishlearn', 'wait']; main()")
    p = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.terminate()
    assert (p.wait(10), p.stderr.read()) == (143, "fishlearn: stopped by a request to end it (SIGTERM).\n")


def test_a_reader_that_has_gone_is_no_error():
    "As in `fishlearn check photos | head -1`."
    script = ("import sys; from fishlearn.cli import main; from fishlearn.commands.common import _app; from fishlearn.messages import _show, logger\n"
              "@_app.command()\ndef wait():\n    logger.info('first'); sys.stdin.read(); logger.info('second')\n"
              "    for _ in range(10000): _show('third')\nsys.argv = ['fishlearn', 'wait']; main()")
    p = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    p.stdout.readline()
    p.stdout.close()
    p.stdin.close()
    assert (p.wait(20), p.stderr.read()) == (0, "")


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _stoppable() as stop: signal.raise_signal(signal.SIGHUP)
        assert stop.number == 0
    finally: signal.signal(signal.SIGHUP, before)


def test_a_signal_that_comes_twice_counts_once(monkeypatch):
    "By a clock of our own, and by the handler itself: a machine may pause between two lines for longer than the guard waits."
    clock = iter([0, 0, 10, 10, 10.9, 10.9, 12, 12])
    monkeypatch.setattr("fishlearn.signals.time", type("Clock", (), dict(monotonic=lambda: next(clock) + 100)))
    monkeypatch.setattr(_stop, "patience", 1e6)
    with _stoppable():
        for number, stops in [(signal.SIGTERM, True), (signal.SIGTERM, True), (signal.SIGTERM, False), (signal.SIGINT, True)]:
            with pytest.raises(KeyboardInterrupt) if stops else nullcontext(): _stop(number, None)
        assert str(_stop).startswith("stopped by a request to end it")


def test_handlers_are_put_back():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with _stoppable(): assert signal.getsignal(signal.SIGTERM) is _stop
    assert before == [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_python_and_jupyter_have_no_handlers():
    script = ("import signal; before = [signal.getsignal(s) for s in (2, 15, 1)]; import fishlearn.core, fishlearn.cli\n"
              "assert before == [signal.getsignal(s) for s in (2, 15, 1)]")
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


@pytest.mark.no_cover
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_kills(tmp_path):
    "tests/kills.py does this some hundred times."
    script = os.path.join(os.path.dirname(__file__), "kills.py")
    done = subprocess.run([sys.executable, script, str(KILLS), str(time.time_ns() % 1000), str(tmp_path)], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_where_python_ignores_errors_comes_back(monkeypatch, capfd):
    monkeypatch.setattr(_stop, "patience", 1e6)
    class Dying:
        def __del__(self): signal.raise_signal(signal.SIGTERM)
    with _stoppable() as stop, pytest.raises(KeyboardInterrupt):
        began = time.time()
        Dying()
        time.sleep(5)
    assert stop.number == signal.SIGTERM and time.time() - began < 3 and capfd.readouterr().err == ""
