"Losses agree with independent implementations and fit into fastai."
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.layers import NoneReduce
from fastai.losses import FocalLossFlat, LabelSmoothingCrossEntropyFlat
from fastai.torch_core import TensorBase, TensorCategory
from scipy.special import log_softmax
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from fishlearn.errors import ArgumentError
from fishlearn.models.losses import (
    LOSSES,
    LogitAdjustedLossFlat,
    WeightedLossFlat,
    _check_counts,
    class_weights,
    species_loss,
)

CASES = [(n, k, seed) for n, k in ((7, 2), (40, 5), (200, 30)) for seed in range(3)]
cases = pytest.mark.parametrize("n, k, seed", CASES)
close = lambda a, b, eps=1e-4: np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=eps)


def draw_logits(n, k, seed):
    "Logits, targets and the number of training photos of each of k species."
    rng = np.random.default_rng([n, k, seed])
    return torch.tensor(rng.normal(0, 2, (n, k)), dtype=torch.float32), torch.tensor(rng.integers(0, k, n)), rng.integers(1, 500, k)


@pytest.mark.parametrize("wrong", [5, [], [0, 0], [3, -1], [[1, 2]], [1, np.nan]])
def test_refused_counts(wrong):
    with pytest.raises(ArgumentError, match="one number of training photos per species"): _check_counts(wrong)


def test_counts_in_a_series(): assert _check_counts(pd.Series(dict(cod=90, ling=10))).tolist() == [90, 10]


@pytest.mark.parametrize("counts", [[90, 10], [5, 5, 5], [1, 20, 300, 4000]])
def test_class_weights(counts):
    y = np.repeat(np.arange(len(counts)), counts)
    close(class_weights(counts), compute_class_weight("balanced", classes=np.unique(y), y=y), 1e-5)


@cases
def test_weighted_loss(n, k, seed):
    z, y, counts = draw_logits(n, k, seed)
    weights = class_weights(counts)[y]
    close(WeightedLossFlat(counts)(z, y), log_loss(y, z.softmax(1), sample_weight=weights, labels=range(k)))
    close(WeightedLossFlat(counts, reduction="none")(z, y), -np.log(z.softmax(1).numpy()[range(n), y]) * weights.numpy())


def test_weights_follow_the_logits():
    z, y, counts = draw_logits(*CASES[0])
    loss = WeightedLossFlat(counts)
    assert loss.func.weight.device.type == "cpu"
    assert loss(z.to("meta"), y.to("meta")).device.type == loss.func.weight.device.type == "meta"


@cases
@pytest.mark.parametrize("gamma", [.5, 2., 5.])
def test_focal_loss(n, k, seed, gamma):
    z, y, _ = draw_logits(n, k, seed)
    p = z.double().softmax(1)[range(n), y]
    close(FocalLossFlat(gamma=gamma)(z, y), (-(1 - p) ** gamma * p.log()).mean())


@cases
def test_special_cases_of_focal_loss(n, k, seed):
    z, y, _ = draw_logits(n, k, seed)
    close(FocalLossFlat(gamma=0.)(z, y), log_loss(y, z.softmax(1), labels=range(k)))
    two, which = torch.stack([torch.zeros(n), z[:, 0]], 1), y.clamp(max=1)
    close(FocalLossFlat()(two, which), sigmoid_focal_loss(z[:, 0], which.float(), alpha=-1, gamma=2, reduction="mean"))


@cases
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_label_smoothing(n, k, seed, reduction):
    z, y, _ = draw_logits(n, k, seed)
    close(LabelSmoothingCrossEntropyFlat(reduction=reduction)(z, y), F.cross_entropy(z, y, label_smoothing=.1, reduction=reduction), 1e-3)


@cases
@pytest.mark.parametrize("tau", [.5, 1., 2.])
def test_logit_adjustment(n, k, seed, tau):
    z, y, counts = draw_logits(n, k, seed)
    each = -log_softmax(z.double().numpy() + tau * np.log(counts / counts.sum()), axis=1)[range(n), y]
    close(LogitAdjustedLossFlat(counts, tau)(z, y), each.mean())
    close(LogitAdjustedLossFlat(counts, tau, reduction="none")(z, y), each)


@cases
def test_logit_adjustment_without_effect(n, k, seed):
    z, y, counts = draw_logits(n, k, seed)
    plain = log_loss(y, z.softmax(1), labels=range(k))
    close([LogitAdjustedLossFlat(counts, 0)(z, y), LogitAdjustedLossFlat([7] * k)(z, y)], [plain, plain])
    close(LogitAdjustedLossFlat(counts).activation(z), z.softmax(1))
    assert LogitAdjustedLossFlat(counts).decodes(z).equal(z.argmax(1))


def test_species_without_a_photo():
    assert LogitAdjustedLossFlat([9, 0])(torch.zeros(1, 2), torch.tensor([1])).isfinite()


def test_refused_names():
    with pytest.raises(ArgumentError, match="There is no balance 'fair'; write one of: none, batches, oversample, weights, focal"): species_loss("fair", [3, 4])
    with pytest.raises(ArgumentError, match="one number of training photos per species"): species_loss("none", [])


@pytest.mark.parametrize("name", LOSSES)
def test_what_fastai_expects(name):
    z, y, counts = draw_logits(40, 5, 0)
    loss = species_loss(name, counts)
    value = loss(z, y)
    close(loss(TensorBase(z), TensorCategory(y)), value)
    with NoneReduce(loss): assert loss(z, TensorCategory(y)).shape == (40,)
    assert (loss.reduction, loss.y_int) == ("mean", True)
    close(loss.activation(z), z.softmax(1))
    assert loss.decodes(z).equal(z.argmax(1))
    close(pickle.loads(pickle.dumps(loss))(z, y), value)


@pytest.mark.parametrize("name", LOSSES)
def test_predictions_with_losses(name):
    import fastai.callback.progress  # noqa: F401
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    z, y, counts = draw_logits(40, 5, 0)
    cpu = torch.device("cpu")
    dls = DataLoaders(*(DataLoader(list(zip(z, y)), bs=16, device=cpu) for _ in range(2)), device=cpu)
    learn = Learner(dls, torch.nn.Linear(5, 5), loss_func=species_loss(name, counts))
    with learn.no_bar(): probabilities, targets, losses = learn.get_preds(with_loss=True)
    close(probabilities.sum(1), torch.ones(40))
    assert losses.shape == (40,)
