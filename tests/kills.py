"""Kill check, train, predict and save at random moments, and look at what is left.

`python tests/kills.py 500` prints a line for each fault and a table of counts; the tests kill a few times. The commands
run in children forked from a process that has imported everything and computed nothing, so a run takes seconds.
"""
import atexit
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

SIGNALS = dict(KILL=signal.SIGKILL, TERM=signal.SIGTERM, HUP=signal.SIGHUP, INT=signal.SIGINT)
WORDS = dict(
    check=["check", "photos", "--csv", "out/table.csv", "--json", "out/card.json", "--html", "out/card.html"],
    train=["train", "photos", "--out", "out/model", "--recipe", "probe", "--size", "64", "--precision", "float32", "--layout", "contiguous"],
    predict=["predict", "model", "photos", "--csv", "out/answers.csv"])
JOBS = ("check", "train", "predict", "save")


def warm_up():
    "Import what the commands need."
    import fastai.vision.all  # noqa: F401
    import loky  # noqa: F401
    import onnx  # noqa: F401

    import fishlearn.cli  # noqa: F401
    import fishlearn.core  # noqa: F401
    import fishlearn.reports.data_card  # noqa: F401


def save():
    "Save a model over itself, again and again."
    from fishlearn.cli import main
    from fishlearn.commands.common import _app
    from fishlearn.deploy.species_model import SpeciesModel
    @_app.command()
    def save():
        model = SpeciesModel.load("model")
        for _ in range(2): model.save("out/saved", force=True)
    sys.argv = ["fishlearn", "save"]
    main()


def start(job, more=()):
    "Fork a child that runs a job; its number."
    if pid := os.fork(): return pid
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)    # both may be ignored in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ["FISHLEARN_KILLED"] = str(os.getpid())
        for number, name in ((1, "stdout.txt"), (2, "stderr.txt")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if job == "save": save()
        from fishlearn.cli import main
        sys.argv = ["fishlearn", *WORDS[job], *more]
        main()
    except SystemExit as e: code = e.code or 0
    except BaseException as e: code = print(repr(e), file=sys.stderr) or 99
    sys.stdout.flush()
    threading._shutdown()
    atexit._run_exitfuncs()
    os._exit(code)


def wait(pid, seconds=120):
    "Wait for a child; its exit status, minus the signal that ended it."
    end = time.time() + seconds
    while time.time() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done: return os.waitstatus_to_exitcode(status)
        time.sleep(.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def orphans(pid):
    "Processes that a child has left."
    mark, found = f"FISHLEARN_KILLED={pid}".encode(), []
    for p in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (p / "environ").read_bytes().split(b"\0"): found.append((p / "cmdline").read_bytes()[:200])
        except OSError: pass
    return found


def contents(folder):
    "The hash of every file below a folder."
    files = (p for p in Path(folder).rglob("*") if p.is_file())
    return {p.as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Field:
    "A folder with photos and a model, and what the jobs make of them."
    def __init__(self, folder, per_species=3):
        os.chdir(folder)
        os.environ |= dict(FISHLEARN_CACHE=f"{folder}/cache", TMPDIR=f"{folder}/tmp", TQDM_DISABLE="1", MPLBACKEND="agg",
                           OMP_NUM_THREADS="1")
        tempfile.tempdir = None
        for name in ("out", "tmp", "cache"): Path(name).mkdir()
        if not (pid := os.fork()):
            from fishlearn.samples.fish import sample_fish
            sample_fish("photos", per_species=per_species, size=64)
            os._exit(0)
        os.waitpid(pid, 0)
        Path("photos/notes.txt").write_text("mine")
        WORDS["train"], words = ["train", "photos", "--out", "model", *WORDS["train"][4:]], WORDS["train"]
        assert wait(start("train")) == 0, Path("stderr.txt").read_text()
        WORDS["train"] = words
        self.ours = contents("photos") | contents("model")
        self.took, self.results, self.faults, self.slowest = {}, {}, [], 0.
        for job in JOBS: self.finish(job, first=True)

    def fault(self, what):
        print("FAULT", what, flush=True)
        self.faults.append(what)

    def finish(self, job, first=False):
        "Start a job after kills, and compare what it makes with what it made undisturbed."
        more = ["--resume", "--force"] if job == "train" and not first else []
        began, pid = time.time(), start(job, more)
        status = wait(pid)
        if first: self.took[job] = time.time() - began
        if status: self.fault(f"{job}: status {status} at the next start: {Path('stderr.txt').read_text()[-300:]}")
        made = {k: v for k, v in contents("out").items() if self.is_repeatable(k)}
        if self.results.setdefault(job, made) != made: self.fault(f"{job}: the result differs")
        left = [p for p in (*os.listdir("out"), *os.listdir("tmp"), *os.listdir()) if ".part" in p or p.endswith(".run")]
        left += set(os.listdir("tmp")) - {".ses"}    # of ONNX Runtime
        if left: self.fault(f"{job}: left behind after the next start: {left}")
        if not first and self.alive(pid): self.fault(f"{job}: orphans {orphans(pid)}")
        self.clear()

    @staticmethod
    def is_repeatable(name): return name.endswith((".csv", ".safetensors", "card.json", ".onnx"))

    @staticmethod
    def clear():
        import shutil
        for p in Path("out").iterdir(): shutil.rmtree(p) if p.is_dir() else p.unlink()

    def alive(self, pid, seconds=5):
        "Whether processes of a child are there after some seconds."
        end = time.time() + seconds
        while orphans(pid):
            if time.time() > end: return True
            time.sleep(.05)
        return False

    def look(self, job, name, status, pid, elapsed):
        "What must hold after a kill."
        said = Path("stderr.txt").read_text()
        if name != "KILL":
            if status == -SIGNALS[name] and "stopped by" not in said: status = 0    # it came when all was done
            if status not in (0, 128 + SIGNALS[name]): self.fault(f"{job} {name}: status {status}: {said[-2000:]}")
            if "Traceback" in said: self.fault(f"{job} {name}: traceback {said[-2000:]}")
            if status and "fishlearn: stopped by" not in said: self.fault(f"{job} {name}: no sentence {said[-300:]!r}")
            hint = elapsed > .5 and Path("out/model.run/state.safetensors").exists() and not Path("out/model").exists()
            if status and hint and "--resume" not in said: self.fault(f"{job} {name}: no way on {said[-300:]!r}")
            parts = [p for p in (*os.listdir("out"), *os.listdir("tmp")) if f"-{pid}-" in p]     # not those of earlier kills
            if parts: self.fault(f"{job} {name}: left behind at once: {parts}, {[*contents('tmp')]}, {said}")
        if self.alive(pid): self.fault(f"{job} {name}: orphans {orphans(pid)}")
        if contents("photos") | contents("model") != self.ours: self.fault(f"{job} {name}: the user's files changed")
        for p, digest in contents("out").items():
            hidden = any(part.startswith(".") for part in Path(p).parts)
            if not hidden and self.is_repeatable(p) and ".run/" not in p and self.results[job].get(p) != digest:
                self.fault(f"{job} {name}: half written {p}")
        if Path("out/table.csv").exists() and Path("out/card.json").exists(): json.loads(Path("out/card.json").read_text())
        if job == "save" and os.listdir("out"): self.look_at_model()

    def look_at_model(self):
        "There is always a model under its name, once somebody looks."
        from fishlearn.errors import FishlearnError
        from fishlearn.parts import _sweep
        was = [p for p in os.listdir("out") if not p.startswith(".") or Path("out", p, "old").exists()]
        _sweep(Path("out/saved").absolute())
        if was and not Path("out/saved/species.json").exists(): self.fault(f"save: no model under its name: {os.listdir('out')}")
        try:
            from fishlearn.deploy.model_folder import _load_files
            if was: _load_files("out/saved")
        except FishlearnError as e: self.fault(f"save: {e}")

    def kill(self, job, name, rng):
        "Start a job, end it at a random moment, and look."
        cold = rng.random() < .3    # let workers read the photos again
        if cold:
            import shutil
            shutil.rmtree("cache")
            Path("cache").mkdir()
        resume = ["--resume", "--force"] if job == "train" and rng.random() < .7 else ["--force"] if job == "train" else []
        kind = job, cold, "--resume" in resume
        began, pid = time.time(), start(job, resume)
        limit = began + rng.uniform(.1, self.took.setdefault(kind, self.took[job]))
        while not (done := os.waitpid(pid, os.WNOHANG))[0] and time.time() < limit: time.sleep(.01)
        if done[0]: status, self.took[kind] = os.waitstatus_to_exitcode(done[1]), .9 * (time.time() - began)
        else:
            os.kill(pid, SIGNALS[name])
            killed, status = time.time(), wait(pid, 30)
            self.slowest = max(self.slowest, time.time() - killed)
        self.look(job, name, status, pid, time.time() - began)
        return not done[0] and status != 0


def main(n, seed=0, every=6, folder=None, jobs=JOBS):
    "Kill n times; the counts by job and signal, and the faults."
    warm_up()
    rng, counts, field = random.Random(seed), Counter(), Field(folder or tempfile.mkdtemp(prefix="kills-"))
    print({job: round(seconds, 1) for job, seconds in field.took.items()}, flush=True)
    pairs = [(job, name) for job in jobs for name in SIGNALS]
    while sum(counts.values()) < n:
        job = min(jobs, key=lambda j: sum(counts[j, s] for s in SIGNALS))
        for _ in range(every):
            name = min(SIGNALS, key=lambda s: counts[job, s] + rng.random())
            if field.kill(job, name, rng): counts[job, name] += 1
        field.finish(job)
        print(sum(counts.values()), "kills,", len(field.faults), "faults", flush=True)
    print(f"the slowest end took {field.slowest:.1f} s")
    for job in jobs: print(f"{job:8}", *(f"{name} {counts[job, name]:4}" for name in SIGNALS))
    assert set(counts) <= set(pairs)
    return counts, field.faults


if __name__ == "__main__":
    n, seed, folder = [*sys.argv[1:], None, None][:3]
    counts, faults = main(int(n), int(seed or 0), every=2 if int(n) < 50 else 6, folder=folder)
    print(sum(counts.values()), "kills,", len(faults), "faults")
    sys.exit(bool(faults))
