"Parts of loaders, batch norm and silence, in one process; test_distributed.py starts two."
import random
import subprocess
import sys
from collections import Counter
from itertools import chain

import pytest
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from timm.layers import BatchNormAct2d
from torch import nn

from fishlearn.train.distributed import (
    _ShardedDL,
    _ShardedValidDL,
    _silence_workers,
    _synced_batchnorm,
    distributed_training,
)

pytest.importorskip("accelerate")
CPU = torch.device("cpu")


def shards(n, world_size, **kwargs):
    "The loaders of all processes over n numbers, and their batches; all have the same random state."
    dls = [_ShardedDL(DataLoader(list(range(n)), bs=4, shuffle=True, device=CPU, **kwargs), rank, world_size)
           for rank in range(world_size)]
    for dl in dls: dl.dl.rng = random.Random(0)
    return dls, [[b.tolist() for b in dl] for dl in dls]


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_every_photo_is_seen_and_few_are_repeated(world_size):
    dls, batches = shards(22, world_size)
    times = Counter(chain(*chain(*batches)))
    assert set(times) == set(range(22)) and sum(times.values()) - 22 < world_size
    assert [len(dl) for dl in dls] == [len(b) for b in batches]


@pytest.mark.parametrize("n", [22, 24, 7, 4])
def test_dropped_batches_are_counted(n):
    dls, batches = shards(n, 2, drop_last=True)
    assert [len(dl) for dl in dls] == [len(b) for b in batches]
    assert all(batches)


def test_part_smaller_than_a_batch_is_kept(): assert [len(b) for b in shards(4, 2, drop_last=True)[1][0]] == [2]


@pytest.mark.parametrize("n", [0, 1, 12, 22])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_collected_predictions_are_in_order(n, world_size):
    def make(cls, rank): return cls(DataLoader(list(range(n)), bs=4, device=CPU), rank, world_size)
    dealt = [list(make(_ShardedValidDL, rank)) for rank in range(world_size)]

    class Faked(_ShardedValidDL):
        "Collects from lists instead of from other processes."
        def _gather(self, x): return torch.cat([batches[self.at] for batches in dealt])

    dl, together = make(Faked, 0), []
    for at, b in enumerate(dl):
        dl.at = at
        together += dl.to_detach(b).tolist()
    assert together == list(range(n))


def test_batchnorm_layers_come_back():
    inner = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), inner, BatchNormAct2d(4)).eval()
    x, own = torch.rand(2, 3, 8, 8), list(net.modules())
    before = net(x)
    with _synced_batchnorm(net):
        assert sum(isinstance(m, nn.SyncBatchNorm) for m in net.modules()) == 2
        torch.testing.assert_close(net(x), before)
        net[2].running_mean.add_(1)
    assert all(a is b for a, b in zip(net.modules(), own, strict=True))
    assert (net(x) - before).abs().max() > .1


def test_one_process_changes_nothing_and_workers_are_silent(monkeypatch):
    net, data = nn.Linear(1, 1), [(torch.ones(1), torch.ones(1))] * 8
    dls = DataLoaders(*(DataLoader(data, bs=4, device=CPU) for _ in range(2)))
    learn = Learner(dls, net, loss_func=nn.MSELoss())
    before = list(learn.cbs)
    with distributed_training(learn) as same:
        assert same is learn and list(learn.cbs) == before and learn.model is net
    with monkeypatch.context() as worker:
        worker.setenv("RANK", "1")
        with _silence_workers(learn): assert not hasattr(learn, "progress") and learn.logger is not print
    assert hasattr(learn, "progress") and learn.logger is print


def test_without_accelerate():
    program = """import os, sys
sys.modules["accelerate"], os.environ["WORLD_SIZE"] = None, "2"
from fishlearn.train.distributed import distributed_training
with distributed_training(None): pass"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert "pip install accelerate" in done.stderr.splitlines()[-1]
