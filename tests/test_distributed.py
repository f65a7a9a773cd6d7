"The same training in one process and in two, on the processor: what each saw, measured, ended with and wrote."
import json, os, subprocess, sys
from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import equal

from fishlearn.datasets import sample_fish

pytest.importorskip("accelerate")
SCRIPT = Path(__file__).with_name("two_processes.py")
N_TRAIN, N_VALID, EPOCHS = 53, 17, 4


def run(folder, n):
    "Run the script in n processes; hand back its answers and what it printed."
    sample_fish(folder / "fish", per_species=8, size=48)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)] if n > 1 else []
    done = subprocess.run([sys.executable, *launcher, SCRIPT, folder], capture_output=True, text=True, timeout=300, env=os.environ | dict(ACCELERATE_USE_CPU="1", OMP_NUM_THREADS="1"))
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"answers{i}.json").read_text()) for i in range(n)], done.stdout


@pytest.fixture(scope="module")
def one(tmp_path_factory): return run(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory): return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder): return run(folder, 2)


def test_photos_seen(one, two):
    "Every epoch shows all training photos once; two processes repeat the one that makes it even."
    def epochs(seen): return [seen[i:i + len(seen) // EPOCHS] for i in range(0, len(seen), len(seen) // EPOCHS)]
    for epoch in epochs(one[0][0]["seen"]): assert sorted(epoch) == list(range(N_TRAIN))
    for shares in zip(*(epochs(a["seen"]) for a in two[0])):
        assert [len(s) for s in shares] == [27, 27]
        times = Counter(i for s in shares for i in s)
        assert set(times) == set(range(N_TRAIN)) and sorted(times.values())[-2:] == [1, 2]


def test_same_answers(two):
    "Learning rate, figures, choices: both processes have the same."
    first, second = ({k: v for k, v in a.items() if k not in ("seen", "balanced")} for a in two[0])
    assert first == second and len(first["history"]) == EPOCHS


def test_same_weights(folder, two):
    first, second = (load_file(folder / f"weights{i}.safetensors") for i in range(2))
    assert all(equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("n", [1, 2])
def test_exact_figures(one, two, n):
    "Two processes measure what one does with the same weights: each of the 17 photos once, in its order."
    for a in (one, two)[n - 1][0]:
        shape, difference, same_targets, loss_difference = a["predictions"]
        assert shape == [N_VALID, 9] and difference < 1e-5 and same_targets and loss_difference < 1e-5 and a["inputs"]
        assert a["validated"] == pytest.approx(a["validated alone"], abs=1e-5)


def test_resumed(one, two):
    "A training that died in its third epoch ends where it would have ended, bit for bit."
    assert [a["resumed"] for a in (*one[0], *two[0])] == [[True, True]] * 3


def test_decided_together(one, two):
    "Patience ends training everywhere; one process whose numbers do not fit takes the others along to 32 bits."
    assert {a["epochs before it stopped"] for a in (*one[0], *two[0])} == {2}
    assert [a["precision"] for a in (*one[0], *two[0])] == ["torch.bfloat16", "torch.float32", "torch.float32"]


def test_balanced(one, two):
    "Every batch of every process holds two photos of each of two species, and no process waits for another."
    assert all(set(map(tuple, a["balanced"])) == {(2, 2)} for a in (*one[0], *two[0]))
    assert len(two[0][0]["balanced"]) == len(two[0][1]["balanced"])


def test_written_once(folder, one, two):
    "One state, one table; one of two prints."
    assert sorted(f.name for f in (folder / "run").iterdir()) == ["history.csv", "stage-all.safetensors", "stage-head.safetensors", "state.safetensors"]
    assert len((folder / "run" / "history.csv").read_text().splitlines()) == 1 + EPOCHS
    assert two[1].count("train_loss") == one[1].count("train_loss") > 0
