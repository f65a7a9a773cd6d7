"Recipes: their stages, what they promise, and which options they refuse."
import pytest
import torch
from fastcore.basics import noop

from fishlearn.callbacks.basic import KeepBest
from fishlearn.callbacks.checkpoints import Checkpoint
from fishlearn.data.folders import from_folder
from fishlearn.errors import ArgumentError
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.split import split_photos
from fishlearn.train.balance import balanced_loader
from fishlearn.train.learner import species_learner
from fishlearn.train.loaders import decode_photos, species_loaders
from fishlearn.train.recipes import (
    _check_recipe,
    _choose_recipe,
    _score_embeddings,
    finetune,
    gradual,
    metric,
    probe,
    scratch,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    "Split photos of nine species, and their store."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=12, size=64)
    table, store = decode_photos(from_folder(folder), 64)
    return split_photos(table), store


@pytest.fixture
def new_learner(photos):
    "A function that makes the same silent Learner each time."
    table, store = photos
    dls = species_loaders(table, store, sorted(table.label.unique()), bs=18)

    def make(**kwargs):
        torch.manual_seed(0)
        learn = species_learner(dls, **kwargs)
        learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
        learn.logger = noop
        return learn
    return make


def macro_f1(learn): return float(learn.validate()[2])


@pytest.mark.parametrize("lr", [None, 3.])
def test_finetune_is_never_worse_than_probe(new_learner, lr):
    learn, fitted = new_learner(), new_learner()
    probe(fitted)
    with learn.added_cbs(KeepBest()): history = finetune(learn, epochs=2, lr=lr)
    assert history.stage.tolist() == ["probe", "all", "all"]
    assert macro_f1(learn) >= macro_f1(fitted) - 1e-6


def test_finetune_as_in_the_course(new_learner, tmp_path):
    learn = new_learner()
    with learn.added_cbs(Checkpoint(tmp_path)): history = finetune(learn, 2, lr=1e-2, freeze_epochs=1, progressive=True)
    assert history.stage.tolist() == ["head", "small", "all"]
    assert {f"stage-{s}.safetensors" for s in history.stage} < {f.name for f in tmp_path.iterdir()}


def test_gradual(new_learner):
    history = gradual(new_learner(), epochs=1, lr=1e-2)
    assert history.stage.tolist() == ["head", "late", "all"]
    assert history.lr.tolist() == pytest.approx([1e-2, 5e-3, 2.5e-3], rel=.1)


def test_scratch(new_learner):
    history = scratch(new_learner(arch="test_resnet", pretrained=False), epochs=4, lr=3e-3)
    assert history.train_loss.iloc[-1] < history.train_loss.iloc[0]


def test_metric(new_learner, photos):
    learn, (table, store) = new_learner(), photos
    learn.dls = species_loaders(table, store, learn.dls.vocab, bs=18)
    learn.dls.loaders[0] = balanced_loader(learn.dls.train, "batches")
    assert metric(learn, epochs=1).stage.tolist() == ["probe", "triplet"]
    assert _score_embeddings(learn).accuracy.min() > 2 / 9


@pytest.mark.parametrize("recipe, given, sentence", [
    ("prob", {}, "write one of: auto, probe, finetune"),
    ("probe", dict(epochs=3), "has no epochs; leave epochs out, or use one of: finetune, gradual, scratch, metric"),
    ("finetune", dict(epochs=0), "epochs must be 1 or more"),
    ("auto", dict(lr=-1), "must be a number above 0")])
def test_options_that_do_not_suit(recipe, given, sentence):
    with pytest.raises(ArgumentError, match=sentence): _check_recipe(recipe, **given)


def test_options_that_suit(): assert _check_recipe("finetune", epochs=3, lr=None) == dict(epochs=3)


@pytest.mark.parametrize("counts, device, recipe", [
    ([200, 300], "cpu", "probe"), ([9, 12], "cuda", "probe"), ([200, 300], "cuda", "finetune")])
def test_choices(counts, device, recipe): assert _choose_recipe(counts, torch.device(device))[0] == recipe
