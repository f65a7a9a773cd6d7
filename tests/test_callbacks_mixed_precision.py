"Mixed precision changes nothing in 32 bits, and leaves the network as it was."
import pytest
import torch
from fastai.callback.training import GradientClip
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import nn

from fishlearn.callbacks.mixed_precision import AnyPrecision


def toy(**kwargs):
    "A Learner on two clouds of points."
    torch.manual_seed(0)
    y, cpu = torch.arange(64) % 2, torch.device("cpu")
    x = torch.randn(64, 4) + 3 * y[:, None]
    data = [DataLoader(list(zip(x, y)), bs=16, shuffle=s, device=cpu) for s in (True, False)]
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    learn = Learner(DataLoaders(*data, device=cpu), net, loss_func=nn.CrossEntropyLoss(), lr=.05, **kwargs)
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    for dl in learn.dls: dl.rng.seed(0)
    return learn


def train(learn):
    with learn.no_logging(): learn.fit(8)
    return learn


def test_float32_changes_nothing():
    plain, ours = train(toy()), train(toy(cbs=AnyPrecision(torch.float32)))
    for a, b in zip(plain.model.state_dict().values(), ours.model.state_dict().values(), strict=True): assert torch.equal(a, b)
    assert "forward" not in vars(ours.model)


def test_clipping_sees_unscaled_gradients():
    losses = [train(toy(cbs=[AnyPrecision(t), GradientClip(.1)])).recorder.values[-1][1] for t in (torch.float32, torch.float16)]
    assert losses[0] == pytest.approx(losses[1], abs=.05)


class Overflow(nn.Module):
    "Has infinite gradients in its third batch, outside 32 bits."
    n = 0
    def forward(self, x):
        self.n += self.training
        if self.n == 3 and torch.is_autocast_enabled("cpu"): x.register_hook(lambda g: g * float("inf"))
        return x


def test_infinite_gradients_cost_their_batch():
    learn = toy(cbs=AnyPrecision(torch.bfloat16))
    learn.model.append(Overflow())
    train(learn)
    assert learn.any_precision.dtype == torch.float32 and not learn.any_precision.failed
    assert all(torch.isfinite(v).all() for v in learn.model.state_dict().values())


def test_state():
    learn = toy(cbs=AnyPrecision(torch.bfloat16))
    learn.any_precision.net = learn.model
    learn.scaler = learn.any_precision._new_scaler()
    state = learn.any_precision.state_dict()
    assert state["dtype"] == "bfloat16" and set(state) == {"dtype", "scaler"}
    learn.any_precision.load_state_dict(state | dict(dtype="float32"))
    assert learn.any_precision.dtype == torch.float32
