"States on disk, and trainings that are interrupted at any batch."
from contextlib import contextmanager

import fastai.callback.schedule  # noqa: F401
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from safetensors import safe_open
from torch import nn

from fishlearn.callbacks.basic import EpochSeed, KeepBest, WeightAveraging
from fishlearn.callbacks.checkpoints import Checkpoint, _epoch_table, _read_state, _write_state
from fishlearn.errors import JobError

STATE = dict(epoch=3, lr=[.1, 1e-5 / 3], weights={"1.bias": torch.arange(3.), "n": torch.tensor(7)}, none=None, rows=[[1, None], []])


def test_state(tmp_path):
    _write_state(tmp_path / "state.safetensors", STATE)
    again = _read_state(tmp_path / "state.safetensors")
    assert torch.equal(again["weights"]["1.bias"], STATE["weights"]["1.bias"])
    assert {k: v for k, v in again.items() if k != "weights"} == {k: v for k, v in STATE.items() if k != "weights"}


def test_format(tmp_path):
    _write_state(tmp_path / "state.safetensors", dict(a=1, b=[torch.ones(2), dict(c=torch.zeros(1))]))
    with safe_open(tmp_path / "state.safetensors", "pt") as f:
        assert {k: v for k, v in f.metadata().items() if k != "sha256"} == dict(state='{"dict": [["a", 1], ["b", [{"tensor": "t0"}, {"dict": [["c", {"tensor": "t1"}]]}]]]}')
        assert sorted(f.keys()) == ["t0", "t1"]


def test_damaged_state(tmp_path):
    _write_state(tmp_path / "state.safetensors", STATE)
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "state.safetensors").read_bytes()[:150])
    with pytest.raises(JobError, match="is not a checkpoint, or it is damaged"): _read_state(tmp_path / "half.safetensors")


@contextmanager
def full_disk(most):
    "No file can grow beyond a number of bytes."
    resource = pytest.importorskip("resource")
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, was[1]))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, was)


def test_full_disk_keeps_the_old_state(tmp_path):
    _write_state(tmp_path / "state.safetensors", STATE)
    with full_disk(10_000), pytest.raises(Exception):  # noqa: B017 (safetensors and the system raise different ones)
        _write_state(tmp_path / "state.safetensors", dict(x=torch.zeros(9999)))
    assert _read_state(tmp_path / "state.safetensors")["epoch"] == 3


def test_history_without_epochs(): assert len(_epoch_table("head", ["train_loss"], [], [])) == 0


def test_once_without_resume(tmp_path):
    Checkpoint(tmp_path)._once("lr", lambda: .003)
    assert Checkpoint(tmp_path)._once("lr", lambda: .5) == .5


class Death(BaseException): pass


class Killer(Callback):
    def __init__(self, when): self.when = when
    def after_batch(self):
        if self.learn.training and self.learn.train_iter == self.when: raise Death


def toy(checkpoint):
    "A Learner on two clouds of points, with callbacks that have a state."
    torch.manual_seed(0)
    g, cpu = torch.Generator().manual_seed(0), torch.device("cpu")
    y = torch.arange(64) % 2
    x = torch.randn(64, 4, generator=g) + y[:, None]
    data = [DataLoader(list(zip(x, y)), bs=16, shuffle=s, device=cpu) for s in (True, False)]
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(.2), nn.Linear(8, 2))
    learn = Learner(DataLoaders(*data, device=cpu), net, loss_func=nn.CrossEntropyLoss(),
                    cbs=[checkpoint, EpochSeed(0, "all"), KeepBest("valid_loss"), WeightAveraging(.9)])
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    return learn


def run(folder, resume=False, killed=None):
    "Train six epochs of one cycle, killed and resumed if asked; returns weights and history."
    learn = toy(Checkpoint(folder, resume))
    learn.checkpoint._begin_stage("all")
    try:
        with learn.no_logging(): learn.fit_one_cycle(6, .05, cbs=None if killed is None else Killer(killed))
    except Death: return run(folder, resume=True)
    return learn.model.state_dict(), learn.checkpoint.history.to_dict("list") | dict(lrs=learn.recorder.lrs)


@pytest.mark.parametrize("killed", [0, 9, 12, 23])
def test_resumed_training_is_the_same(tmp_path, killed):
    weights, history = run(tmp_path / "whole")
    again, rows = run(tmp_path / "cut", killed=killed)
    assert rows == history
    assert all(torch.equal(again[k], v) for k, v in weights.items())
    assert (len(rows["valid_loss"]), len(rows["lrs"]), max(rows["lr"])) == (6, 24, max(rows["lrs"]))
