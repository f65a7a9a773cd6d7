"The same training in one process and in two, on the CPU: what each saw, measured, wrote, and its final weights."
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import equal

from fishlearn.samples.fish import sample_fish

pytest.importorskip("accelerate")
SCRIPT = Path(__file__).with_name("two_processes.py")
N_TRAIN, N_VALID, EPOCHS = 53, 17, 4
CPU_ONLY = dict(ACCELERATE_USE_CPU="1", OMP_NUM_THREADS="1")


def run(folder, n):
    "Run the script in n processes; return its answers and what it printed."
    sample_fish(folder / "fish", per_species=8, size=48)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)] if n > 1 else []
    done = subprocess.run([sys.executable, *launcher, SCRIPT, folder], capture_output=True, text=True, timeout=300,
                          env=os.environ | CPU_ONLY)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"answers{i}.json").read_text()) for i in range(n)], done.stdout


def photos_seen(one, two):
    "Every epoch shows all training photos once; two processes repeat one photo to make the number even."
    def epochs(seen): return [seen[i:i + len(seen) // EPOCHS] for i in range(0, len(seen), len(seen) // EPOCHS)]
    for epoch in epochs(one[0]["seen"]): assert sorted(epoch) == list(range(N_TRAIN))
    for parts in zip(*(epochs(a["seen"]) for a in two), strict=True):
        assert [len(p) for p in parts] == [27, 27]
        times = Counter(i for p in parts for i in p)
        assert set(times) == set(range(N_TRAIN)) and sorted(times.values())[-2:] == [1, 2]


def same_answers(one, two):
    "Both processes have the same learning rate, metrics and choices."
    first, second = ({k: v for k, v in a.items() if k not in ("seen", "balanced")} for a in two)
    assert first == second and len(first["history"]) == EPOCHS


def exact_metrics(one, two):
    "Two processes compute the same metrics as one with the same weights: each of the 17 photos once, in order."
    for a in (*one, *two):
        shape, difference, same_targets, loss_difference = a["predictions"]
        assert shape == [N_VALID, 9] and difference < 1e-5 and same_targets and loss_difference < 1e-5 and a["inputs"]
        assert a["validated"] == pytest.approx(a["validated alone"], abs=1e-5)


def resumed(one, two):
    "A training that was killed in its third epoch ends with the same weights, bit for bit."
    assert [a["resumed"] for a in (*one, *two)] == [[True, True]] * 3


def decided_together(one, two):
    "Patience ends training in all processes; if numbers overflow in one, all of them switch to 32 bits."
    assert {a["epochs before it stopped"] for a in (*one, *two)} == {2}
    assert [a["precision"] for a in (*one, *two)] == ["torch.bfloat16", "torch.float32", "torch.float32"]


def balanced(one, two):
    "Every batch of every process holds two photos of each of two species; all processes have equally many."
    assert all(set(map(tuple, a["balanced"])) == {(2, 2)} for a in (*one, *two))
    assert len(two[0]["balanced"]) == len(two[1]["balanced"])


@pytest.mark.no_cover
def test_one_and_two(tmp_path):
    "Both trainings run once, and all checks use them."
    (one, printed), (two, printed_by_two) = (run(tmp_path / name, n) for n, name in enumerate(("one", "two"), 1))
    for check in (photos_seen, same_answers, exact_metrics, resumed, decided_together, balanced): check(one, two)
    first, second = (load_file(tmp_path / f"two/weights{i}.safetensors") for i in range(2))
    assert all(equal(first[k], second[k]) for k in first)
    assert sorted(f.name for f in (tmp_path / "two/run").iterdir()) == [
        "history.csv", "stage-all.safetensors", "stage-head.safetensors", "state.safetensors"]
    assert len((tmp_path / "two/run/history.csv").read_text().splitlines()) == 1 + EPOCHS
    assert not any("gloo" in (tmp_path / f"two/threads{i}.txt").read_text() for i in range(2))
    assert printed_by_two.count("train_loss") == printed.count("train_loss") > 0


NOTEBOOK = """
import socket, torch
from accelerate import notebook_launcher
from fastai.basics import *
from fishlearn.train.distributed import distributed_training

def train_all():
    cpu, points = torch.device("cpu"), [(torch.tensor([i / 8]), torch.tensor([1 + 3 * i / 8])) for i in range(8)]
    torch.manual_seed(rank_distrib())
    dls = DataLoaders(*(DataLoader(points, bs=4, device=cpu) for _ in range(2)), device=cpu)
    learn = Learner(dls, nn.Linear(1, 1), loss_func=nn.MSELoss())
    with distributed_training(learn), learn.no_bar(), learn.no_logging(): learn.fit(1)
    Path(f"{rank_distrib()}.txt").write_text(f"{num_distrib()} {[p.item() for p in learn.model.parameters()]}")

with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = str(s.getsockname()[1])
notebook_launcher(train_all, num_processes=2, use_port=port)
"""


@pytest.mark.no_cover
@pytest.mark.skipif(sys.platform != "linux", reason="a notebook forks its processes, which needs Linux")
def test_notebook_launcher(tmp_path):
    "From a notebook: the weights of the first process replace the different ones of the second."
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env=os.environ | CPU_ONLY)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = ((tmp_path / f"{i}.txt").read_text() for i in range(2))
    assert first == second and first.startswith("2 ")
