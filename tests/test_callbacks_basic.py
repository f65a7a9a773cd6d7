"Callbacks in a Learner, against what they should compute."
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import nn

from fishlearn.callbacks.basic import KeepBest, ProgressiveResize, WeightAveraging


def toy(**kwargs):
    "A Learner on two clouds of points."
    torch.manual_seed(0)
    y, cpu = torch.arange(64) % 2, torch.device("cpu")
    x = torch.randn(64, 4) + 2 * y[:, None]
    data = [DataLoader(list(zip(x, y)), bs=16, shuffle=s, device=cpu) for s in (True, False)]
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    learn = Learner(DataLoaders(*data, device=cpu), net, loss_func=nn.CrossEntropyLoss(), lr=.02, **kwargs)
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    return learn


def weights(learn): return torch.cat([p.detach().flatten() for p in learn.model.parameters()])


class ByHand(Callback):
    "The average computed step by step."
    order = 71
    mean, n = None, 0
    def after_step(self):
        now, decay = weights(self.learn).clone(), min(.9, (1 + self.n) / (10 + self.n)) if self.n else 0
        self.mean, self.n = now if self.mean is None else decay * self.mean + (1 - decay) * now, self.n + 1


def test_average():
    learn = toy(cbs=[WeightAveraging(.9), ByHand()])
    with learn.no_logging(): learn.fit(3)
    torch.testing.assert_close(weights(learn), learn.by_hand.mean)


def test_best_epoch_of_averaged_weights():
    learn = toy(cbs=[WeightAveraging(.9), KeepBest("valid_loss")])
    with learn.no_logging():
        learn.fit(5)
        best = min(v[1] for v in learn.recorder.values)
        assert learn.validate()[0] == pytest.approx(best, abs=1e-5)


class Shapes(Callback):
    order = 1
    def before_batch(self): self.seen = tuple(self.learn.xb[0].shape)


def test_progressive_resize():
    photos, cpu = [(torch.rand(3, 128, 192), i % 2) for i in range(4)], torch.device("cpu")
    dls = DataLoaders(*(DataLoader(photos, bs=2, device=cpu) for _ in range(2)), device=cpu)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    learn = Learner(dls, net, loss_func=nn.CrossEntropyLoss(), cbs=[ProgressiveResize(.5), Shapes()])
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    with learn.no_logging(): learn.fit(1)
    assert learn.shapes.seen == (2, 3, 64, 96)
