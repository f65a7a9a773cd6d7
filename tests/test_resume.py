"Training that is killed at random moments and resumed each time ends with the same weights."
import multiprocessing
import os
import random
import sys
import time

import pytest

KILLS = int(os.environ.get("FISHLEARN_KILLS", 2))


@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no forkserver")
def test_sigkill(tmp_path, monkeypatch):
    import interrupted

    from fishlearn.samples.fish import sample_fish
    monkeypatch.chdir(tmp_path)
    sample_fish("fish", per_species=4, size=64)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["interrupted"])

    def start(run, resume=False):
        p = processes.Process(target=interrupted.train, args=("fish", run, resume, f"{run}.json"))
        p.start()
        return p

    started = time.time()
    (whole := start("whole")).join()
    took, rng, kills, runs = time.time() - started, random.Random(), 0, 0
    assert whole.exitcode == 0
    while kills < KILLS:
        run, runs = f"run{runs}", runs + 1
        p = start(run)
        while p.is_alive() and kills < KILLS:
            p.join(rng.uniform(.1, .5) * took)
            if not p.is_alive(): break
            p.kill()
            p.join()
            kills, p = kills + 1, start(run, resume=True)
        p.join()
        assert p.exitcode == 0
        assert (tmp_path / f"{run}.json").read_text() == (tmp_path / "whole.json").read_text()
    print(f"\nkilled {kills} times in {runs} runs of {took:.0f} s")
