"Metric losses against plain Python, what they do to a Learner, and what they leave behind."
import sys
from copy import deepcopy
from itertools import permutations

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.mixup import MixUp
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from torch import nn
from torch.nn import functional as F

from fishlearn.errors import ArgumentError, JobError
from fishlearn.models.backbones import create_head
from fishlearn.models.losses import species_loss
from fishlearn.models.metric_losses import (
    METRIC_LOSSES,
    QuadrupletLoss,
    TripletLoss,
    _metric_term,
    _MetricTerm,
    _squared_distances,
    embedding_scores,
    metric_loss,
    nearest_centroid,
    nearest_neighbours,
)

pytest.importorskip("pytorch_metric_learning")


def draw_batch(n, k, seed, d=4):
    "Unit embeddings in double precision, and class numbers."
    g = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, d, generator=g, dtype=torch.float64), dim=1), torch.randint(k, (n,), generator=g)


def enumerate_quadruplets(z, y, m1=1., m2=.5):
    "Mean cost of every quadruplet, and their number."
    square = lambda i, j: ((z[i] - z[j]) ** 2).sum()
    costs = [(square(a, p) - square(a, n1) + m1).clamp(min=0) + (square(a, p) - square(n1, n2) + m2).clamp(min=0)
             for a, p, n1, n2 in permutations(range(len(y)), 4) if y[a] == y[p] and y[n1] != y[a] and y[n2] != y[a] and y[n2] != y[n1]]
    return sum(costs) / len(costs) if costs else torch.tensor(0.), len(costs)


def test_distances():
    x = torch.randn(5, 8, dtype=torch.float64)
    torch.testing.assert_close(_squared_distances(x), torch.cdist(x, x) ** 2)


@pytest.mark.parametrize("margins", [(1., .5), (.3, .1), (3., 2.)])
@pytest.mark.parametrize("n, k, seed", [(4, 3, 0), (8, 3, 1), (9, 4, 2), (10, 6, 3), (10, 3, 4), (7, 2, 5)])
def test_quadruplets(n, k, seed, margins):
    z, y = draw_batch(n, k, seed)
    expected, found = enumerate_quadruplets(z, y, *margins)
    assert float(QuadrupletLoss(*margins)(z, y)) == pytest.approx(float(expected), abs=1e-9)
    assert (found > 0) == (k > 2)


def test_gradient_of_quadruplets():
    z, y = draw_batch(9, 4, 2)
    z.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: QuadrupletLoss()(z, y), z)
    ours, = torch.autograd.grad(QuadrupletLoss()(z, y), z)
    expected, = torch.autograd.grad(enumerate_quadruplets(z, y)[0], z)
    torch.testing.assert_close(ours, expected)
    assert expected.abs().sum() > .1


@pytest.mark.parametrize("labels", [[0] * 9, range(9), [0, 1] * 4 + [0]])
def test_batch_without_quadruplets(labels):
    z = draw_batch(9, 4, 2)[0].requires_grad_()
    loss = QuadrupletLoss()(z, torch.tensor(labels))
    assert loss.item() == torch.autograd.grad(loss, z)[0].abs().sum().item() == 0


KINDS = dict(semihard=lambda gap: 0 < gap <= .2, hard=lambda gap: gap <= 0, all=lambda gap: gap <= .2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n, k, seed", [(6, 2, 0), (12, 3, 1), (14, 5, 2)])
def test_triplets(n, k, seed, kind):
    z, y = draw_batch(n, k, seed)
    far = lambda i, j: (z[i] - z[j]).norm()
    gaps = [far(a, n) - far(a, p) for a, p, n in permutations(range(len(y)), 3) if y[a] == y[p] and y[n] != y[a]]
    expected = float(np.mean([.2 - gap for gap in gaps if KINDS[kind](gap)]))
    assert expected > 0
    for scale in (1, 5): assert float(TripletLoss(triplets=kind)(scale * z, y)) == pytest.approx(expected, abs=1e-6)


def test_batch_without_triplets():
    z = draw_batch(14, 5, 2)[0].requires_grad_()
    loss = TripletLoss()(z, torch.zeros(14, dtype=torch.int64))
    assert loss.item() == torch.autograd.grad(loss, z)[0].abs().sum().item() == 0


@pytest.mark.parametrize("k, subs, seed", [(2, 1, 0), (3, 3, 1), (5, 2, 2)])
def test_arcface(k, subs, seed):
    from pytorch_metric_learning.losses import SubCenterArcFaceLoss
    z, y = draw_batch(12, k, seed)
    torch.manual_seed(seed)
    arcface = SubCenterArcFaceLoss(num_classes=k, embedding_size=4, sub_centers=subs)
    centres = F.normalize(arcface.W.detach().double(), dim=0)
    cosine = (z @ centres).reshape(12, k, subs).amax(2)
    angle, right, margin = cosine.clamp(-1, 1).acos(), F.one_hot(y, k).bool(), np.radians(28.6)
    wider = torch.where(angle <= np.pi - margin, (angle + margin).cos(), cosine - margin * np.sin(margin))
    assert float(arcface(z, y)) == pytest.approx(float(F.cross_entropy(64 * torch.where(right, wider, cosine), y)), abs=1e-4)


def test_losses_by_name():
    z, y = draw_batch(20, 4, 0, d=16)
    for name in METRIC_LOSSES: assert metric_loss(name, 16, 4)(z.float(), y).shape == ()
    assert [sum(p.numel() for p in metric_loss(name, 16, 4).parameters()) for name in METRIC_LOSSES] == [0, 0, 16 * 4 * 3]


@pytest.mark.parametrize("make, message", [
    (lambda: metric_loss("contrastive", 16, 4), "There is no metric loss 'contrastive'; write one of: triplet, quadruplet, arcface"),
    (lambda: metric_loss("quadruplet", 16, 2), "compares 3 species, and there are 2; add photos of more species, or use triplet"),
    (lambda: metric_loss("triplet", 16, 1), "compares 2 species, and there is 1; add"),
    (lambda: TripletLoss(triplets="easy"), "There is no kind of triplets 'easy'; write one of: semihard, hard, all")])
def test_refused_losses(make, message):
    with pytest.raises(ArgumentError, match=message): make()


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(JobError, match="pip install pytorch-metric-learning"): TripletLoss()


class Body(nn.Sequential):
    def __init__(self): super().__init__(nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())


def make_learner(balance="none", **kwargs):
    "A small Learner of five species, as `nn.Sequential(body, head)`."
    torch.manual_seed(0)
    data, cpu = [(torch.randn(3, 16, 16), torch.tensor(i % 5)) for i in range(64)], torch.device("cpu")
    dls = DataLoaders(*(DataLoader(data, bs=16, device=cpu) for _ in range(2)), device=cpu)
    groups = lambda net: [list(net[0].parameters()), list(net[1].parameters())]
    learn = Learner(dls, nn.Sequential(Body(), create_head(64, 5)), loss_func=species_loss(balance, [13] * 5), splitter=groups, **kwargs)
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    return learn


class Watch(Callback):
    "Notes losses and gradients of every training batch."
    order, run_valid = 60, False
    def before_fit(self): self.rows = []
    def before_step(self):
        body, classifier = next(self.model[0].parameters()), self.model[1][-1].weight
        self.rows.append(dict(plain=self.loss_func(self.pred, *self.yb).item(), loss=self.learn.loss.item(), head=len(self.opt.param_lists[1]),
                              body=body.grad.norm().item(), classifier=classifier.grad.norm().item()))


def watch(name, weight=1., loss_func=None):
    "What an epoch with a metric loss does to every batch."
    learn, seen = make_learner(), Watch()
    learn.loss_func = loss_func or learn.loss_func
    before = list(learn.model.state_dict())
    with _metric_term(learn, name, weight) as term, learn.no_logging():
        learn.fit(1, 1e-3, cbs=seen)
        assert term.hook is None
    assert list(learn.model.state_dict()) == before and not learn.model[1][0]._forward_hooks
    assert np.isfinite(learn.recorder.values[0]).all()
    return {k: np.array([row[k] for row in seen.rows]) for k in seen.rows[0]}


@pytest.mark.parametrize("name, parameters", [("triplet", 2), ("quadruplet", 2), ("arcface", 3)])
def test_loss_is_a_sum(name, parameters):
    seen = watch(name)
    assert set(seen["head"]) == {parameters}
    assert seen["loss"].mean() > seen["plain"].mean() + 1e-3


def test_weight_of_zero():
    silent = watch("triplet", weight=0.)
    np.testing.assert_allclose(silent["plain"], silent["loss"], atol=1e-5)


@pytest.mark.parametrize("name", METRIC_LOSSES)
def test_term_alone_trains_the_body(name):
    alone = watch(name, loss_func=lambda pred, y: 0 * pred.sum())
    assert alone["body"].sum() > 0 and alone["classifier"].sum() == 0


def test_centres_come_and_go():
    learn = make_learner()
    with _metric_term(learn, "arcface") as term, learn.no_logging():
        assert [n for n in learn.model.state_dict() if "metric" in n] == ["1.0.metric.W"]
        before = term.metric.W.detach().clone()
        learn.fit(1, 1e-3)
        assert (term.metric.W != before).float().mean() > .9
        with pytest.raises(ArgumentError, match="already trains with a metric loss"): _metric_term(learn, "triplet").__enter__()
    assert learn.opt is None and not hasattr(learn, "metric_term")
    with learn.no_logging(): learn.fit(1, 1e-3)
    assert len(learn.opt.param_lists[1]) == 2


class Bits16(Callback):
    "Autocast as in fastai's `MixedPrecision`, on any device."
    order = 10
    def before_batch(self):
        self.context = torch.autocast(self.x.device.type, torch.bfloat16)
        self.context.__enter__()
    def after_pred(self): self.learn.pred = self.pred.float()
    def after_loss(self): self.context.__exit__(None, None, None)


class SeeTypes(nn.Module):
    "A metric loss that notes what it is given."
    def forward(self, embeddings, targets):
        self.seen = (embeddings.dtype, torch.is_autocast_enabled(embeddings.device.type), type(embeddings), type(targets))
        torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(embeddings)))
        return embeddings.square().sum()


def test_distances_are_computed_in_32_bits():
    see = SeeTypes()
    learn = make_learner(cbs=[Bits16(), _MetricTerm(see)])
    with learn.no_logging(): learn.fit(1, 1e-3)
    assert see.seen == (torch.float32, False, torch.Tensor, torch.Tensor)


class Stop(Callback):
    "Ends training in the second batch."
    order = 70
    def __init__(self, error): self.error = error
    def before_step(self):
        deepcopy(self.model)
        if self.iter == 1: raise self.error


@pytest.mark.parametrize("balance, name, error", [("weights", "quadruplet", CancelFitException()), ("logits", "arcface", RuntimeError("broken")), ("focal", "triplet", None)])
def test_nothing_is_left_behind(balance, name, error):
    learn = make_learner(balance, cbs=MixUp())
    names = list(learn.model.state_dict())
    with learn.no_logging():
        try:
            with _metric_term(learn, name, weight=.1): learn.fit(1, 1e-3, cbs=Stop(error) if error else None)
        except RuntimeError as e: assert "broken" in str(e)
    assert list(learn.model.state_dict()) == names and not learn.model[1][0]._forward_hooks and learn.opt is None


class Several(Callback):
    "Several species per photo."
    def before_batch(self): self.learn.yb = (F.one_hot(self.y.as_subclass(torch.Tensor), 5).float(),)


def test_several_species_per_photo():
    learn = make_learner(cbs=[Several(), _MetricTerm(SeeTypes())])
    learn.loss_func = F.binary_cross_entropy_with_logits
    with learn.no_logging(), pytest.raises(ArgumentError, match="needs one species per photo"): learn.fit(1)


@pytest.fixture
def embeddings():
    "Embeddings of four species, of any length: 80 to train on, 40 held out."
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(4, 6))
    draw = lambda n: (rng.uniform(1, 50, (n, 1)) * (directions[np.arange(n) % 4] + rng.normal(0, 1.5, (n, 6))), np.arange(n) % 4)
    return *draw(80), *draw(40)


unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)


def test_nearest_centroid(embeddings):
    train_emb, train_y, emb, _ = embeddings
    centres = np.stack([unit(train_emb)[train_y == c].mean(0) for c in range(4)])
    assert nearest_centroid(train_emb, train_y, emb).tolist() == [np.argmin([np.linalg.norm(u - c) for c in centres]) for u in unit(emb)]


@pytest.mark.parametrize("k", [1, 5])
def test_nearest_neighbours(embeddings, k):
    train_emb, train_y, emb, _ = embeddings
    nearest = np.argsort(-unit(emb) @ unit(train_emb).T, axis=1)[:, :k]
    assert nearest_neighbours(train_emb, train_y, emb, k).tolist() == [np.bincount(train_y[i]).argmax() for i in nearest]
    assert len(nearest_neighbours(train_emb[:4], train_y[:4], emb)) == 40


def test_embedding_scores(embeddings):
    train_emb, train_y, emb, y = embeddings
    head = np.where(np.arange(40) < 30, y, (y + 1) % 4)
    scores = embedding_scores(train_emb, train_y, emb, y, head)
    assert scores.accuracy.tolist() == [.75, *(np.mean(way(train_emb, train_y, emb) == y) for way in (nearest_centroid, nearest_neighbours))]
    f1_of = lambda c: 2 * ((y == c) & (head == c)).sum() / ((y == c).sum() + (head == c).sum())
    assert scores.macro_f1["head"] == pytest.approx(np.mean([f1_of(c) for c in range(4)]))
