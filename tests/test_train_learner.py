"The Learner: metrics and optimisers against their definitions, frozen layers and statistics."
import numpy as np
import pytest
import torch

from fishlearn.data.folders import from_folder
from fishlearn.data.tables import from_csv
from fishlearn.models.backbones import create_body, create_head
from fishlearn.samples.fish import sample_fish
from fishlearn.samples.reef import sample_reef
from fishlearn.splits.split import split_photos
from fishlearn.train.learner import OPTIMISERS, FrozenStatistics, _layer_groups, macro_f1, species_learner, wrap_learner
from fishlearn.train.loaders import decode_photos, species_loaders


@pytest.fixture(scope="module")
def dls(tmp_path_factory):
    "Loaders of nine species."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=6, size=64)
    photos, store = decode_photos(from_folder(folder), 64)
    return species_loaders(split_photos(photos), store, sorted(photos.label.unique()))


def test_groups_hold_every_parameter():
    net = torch.nn.Sequential(create_body(), create_head(1280, 9))
    assert sum(len(g) for g in _layer_groups(net)) == len(list(net.parameters()))


def test_macro_f1():
    targets, predicted = np.array([0, 0, 0, 1, 1, 3]), np.array([0, 0, 1, 1, 2, 3])
    by_hand = np.mean([2 * 2 / (2 * 2 + 0 + 1), 2 * 1 / (2 * 1 + 1 + 1), 1.])
    assert macro_f1(predicted, targets) == pytest.approx(by_hand)
    assert macro_f1(np.eye(4, dtype=int)[predicted], np.eye(4, dtype=int)[targets]) == pytest.approx(by_hand)


def one_step(make):
    p = torch.nn.Parameter(torch.tensor([1., -2.]))
    p.grad = torch.tensor([.5, .25])
    make(p).step()
    return p.data


ADAM = dict(lr=.1, betas=(.9, .99), eps=1e-5, weight_decay=.1)


@pytest.mark.parametrize("name, wd, reference", [
    ("adamw", .1, lambda p: torch.optim.AdamW([p], **ADAM)),
    ("adam", .1, lambda p: torch.optim.Adam([p], **ADAM)),
    ("sgd", 0., lambda p: torch.optim.SGD([p], lr=.1, momentum=.9))])
def test_optimisers_agree_with_pytorch(name, wd, reference):
    ours = one_step(lambda p: OPTIMISERS[name]([p], lr=.1, wd=wd))
    torch.testing.assert_close(ours, one_step(reference), atol=1e-5, rtol=0)


def drift(learn):
    "The largest change of a prediction after an epoch at learning rate 0."
    with learn.no_bar(), learn.no_logging():
        before = learn.get_preds()[0]
        learn.fit(1, lr=0.)
        return float((learn.get_preds()[0] - before).abs().max())


def test_pretrained_body_is_frozen(dls):
    learn = species_learner(dls)
    first, _, head = _layer_groups(learn.model)
    assert not first[0].requires_grad and head[0].requires_grad
    assert drift(learn) == 0
    assert drift(species_learner(dls).remove_cb(FrozenStatistics)) > .001


def test_wrapped_network_scores_the_same(dls):
    learn = species_learner(dls)
    wrapped = wrap_learner(learn.model, dls)
    with learn.no_bar(), wrapped.no_bar(): assert list(wrapped.validate()) == pytest.approx(list(learn.validate()))


def test_multilabel(tmp_path):
    sample_reef(tmp_path, photos=12, size=64)
    reef, store = decode_photos(from_csv(tmp_path / "labels.csv", label_delim=";"), 64)
    names = sorted(set(reef.label.str.split(" ‖ ", regex=False).explode()))
    learn = species_learner(species_loaders(split_photos(reef, valid=.3), store, names, multilabel=True))
    with learn.no_bar(): _, right, f1 = learn.validate()
    assert 0 <= f1 <= 1 and 0 <= right <= 1
