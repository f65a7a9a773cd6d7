"Augmentation: what each policy does to photos, that it is repeatable, and that nothing but training is changed."
import pickle
import random

import numpy as np
import pytest
import torch
from fastai.callback.progress import ProgressCallback  # noqa: F401 (Learner.no_bar needs it)
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.torch_core import no_random
from fastai.vision.core import PILImage, TensorImage
from fastcore.test import test_close as assert_close
from torchvision.transforms import v2

from fishlearn.data.folders import from_folder
from fishlearn.errors import ArgumentError
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.fish import sample_fish
from fishlearn.samples.species import SPECIES
from fishlearn.splits.split import split_photos
from fishlearn.train.augment import (
    POLICIES,
    Augmentation,
    _check_augmentation,
    _photo_steps,
    _PhotoSteps,
    _random_rotation,
    _training_batch,
    augmentation,
    plot_policies,
)
from fishlearn.train.loaders import decode_photos, species_loaders

BLENDS = ("mixup", "cutmix")
SMALL = PILImage.create(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
WIDE = PILImage.create(np.arange(18, dtype=np.uint8).reshape(2, 3, 3))
FISH = [draw_photo(SPECIES[i], np.random.default_rng(i), 64)[0] for i in range(8)]


@pytest.fixture(scope="module")
def fish(tmp_path_factory):
    "Split photos of nine species, and their store."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=6, size=48)
    photos, store = decode_photos(from_folder(folder), 32)
    return split_photos(photos, valid=.3), store


def loaders(fish, policy):
    "Loaders with a policy, on the CPU."
    photos, store = fish
    classes = sorted(photos.label.unique())
    return species_loaders(photos, store, classes, 8, policy.batch_tfms, "cpu", item_tfms=policy.item_tfms)


def learner(fish, policy, loss):
    "One linear layer over coarse pixels."
    net = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(3 * 64, 9))
    return Learner(loaders(fish, policy), net, loss_func=loss, metrics=accuracy, cbs=policy.cbs)


def all_photos(dl): return torch.cat([b[0] for b in dl])


@pytest.mark.parametrize("kwargs, sentence", [
    (dict(name="mirror"), "write one of: none, flip"),
    (dict(name="mixup", multilabel=True), "half present"),
    (dict(name="flips", flip=False), "only flips photos")])
def test_unsuitable_policies(kwargs, sentence):
    with pytest.raises(ArgumentError, match=sentence): _check_augmentation(**kwargs)


def test_suitable_policies():
    assert [_check_augmentation(p) for p in POLICIES] == list(POLICIES)
    assert _check_augmentation("trivial", multilabel=True, flip=False) == "trivial"
    assert augmentation("none") == Augmentation("none")


def test_photo_steps_change_training_photos_only():
    flipped = _PhotoSteps(v2.RandomHorizontalFlip(p=1))
    seen = flipped(SMALL, split_idx=0)
    assert (type(seen), seen.dtype, tuple(seen.shape)) == (TensorImage, torch.uint8, (3, 2, 2))
    assert (seen.permute(1, 2, 0).numpy() == np.asarray(SMALL)[:, ::-1]).all()
    assert flipped(SMALL, split_idx=1) is SMALL


@pytest.mark.parametrize("photo, size, flips, ways", [
    (SMALL, 2, [], 4), (SMALL, 2, [v2.RandomHorizontalFlip()], 8),
    (WIDE, (2, 3), [], 2), (WIDE, (2, 3), [v2.RandomHorizontalFlip()], 4)])
def test_ways_to_place_a_photo(photo, size, flips, ways):
    torch.manual_seed(0)
    steps = _PhotoSteps(v2.PILToTensor(), _random_rotation(size), *flips)
    assert len({steps(photo, split_idx=0).numpy().tobytes() for _ in range(100)}) == ways


def test_steps_without_flips():
    assert [type(t).__name__ for t in _photo_steps("trivial", 64, flip=False)] == [
        "TrivialAugmentWide", "PILToTensor", "RandomErasing"]
    assert _photo_steps("fastai", 64) == []


@pytest.mark.parametrize("name", POLICIES)
def test_every_photo_gets_its_own_variant(name):
    assert _training_batch(augmentation(name), FISH).shape == (8, 3, 64, 64)
    with no_random(): same = _training_batch(augmentation(name), FISH[:1] * 16)
    variants = len({v.numpy().round(3).tobytes() for v in same})
    assert variants == dict(none=1, flip=2, flips=4).get(name, variants) and (variants > 1) == (name != "none")


def test_none_keeps_photos():
    as_it_is = torch.tensor(np.asarray(FISH[0])).permute(2, 0, 1) / 255
    assert_close(_training_batch(augmentation("none"), FISH[:1])[0], as_it_is)


@pytest.mark.parametrize("name", POLICIES)
def test_rectangles_keep_their_shape(name):
    wide = [np.asarray(p)[8:56] for p in FISH]
    assert _training_batch(augmentation(name, size=(48, 64)), wide).shape == (8, 3, 48, 64)


@pytest.mark.parametrize("name", POLICIES)
def test_only_training_photos_change(fish, name):
    dls, plain = loaders(fish, augmentation(name, 32)), loaders(fish, augmentation("none"))
    assert_close(all_photos(dls.valid), all_photos(plain.valid))
    assert_close(all_photos(dls.test_dl(dls.train.items)), all_photos(plain.test_dl(plain.train.items)))


@pytest.mark.parametrize("name", POLICIES)
def test_seeds(fish, name):
    "Seeds of Python and PyTorch repeat an epoch; NumPy's generator is not used."
    dls = loaders(fish, augmentation(name, 32))

    def epoch(seed=None):
        if seed is not None:
            torch.manual_seed(seed)
            random.seed(seed)
            dls.train.rng = random.Random(seed)
        return all_photos(dls.train)

    numpy_state = np.random.get_state()[1].copy()
    first, then, again = epoch(3), epoch(), epoch(3)
    assert torch.equal(first, again) and not torch.equal(first, then)
    assert (np.random.get_state()[1] == numpy_state).all()


@pytest.mark.parametrize("name", POLICIES)
def test_pickle(name):
    policy = augmentation(name)
    with no_random(): seen = _training_batch(policy, FISH)
    with no_random(): assert torch.equal(_training_batch(pickle.loads(pickle.dumps(policy)), FISH), seen)


@pytest.mark.parametrize("loss", [
    CrossEntropyLossFlat(), torch.nn.CrossEntropyLoss(), CrossEntropyLossFlat(weight=torch.linspace(1, 2, 9)),
    torch.nn.CrossEntropyLoss(label_smoothing=.1)])
@pytest.mark.parametrize("name", ["fastai", *BLENDS])
def test_training_gives_the_loss_back(fish, name, loss):
    learn = learner(fish, augmentation(name), loss)
    before = learn.model[2].weight.detach().clone()
    with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-2)
    assert np.isfinite(learn.recorder.values[0]).all() and not torch.equal(learn.model[2].weight, before)
    assert learn.loss_func is loss and loss.reduction == "mean"


def test_loss_of_a_blend(fish):
    "Seven tenths of one species and three tenths of the other, computed by hand."
    policy = augmentation("mixup")
    learn, cb = learner(fish, policy, torch.nn.CrossEntropyLoss()), policy.cbs[0]
    scores, one, other = torch.randn(5, 9), torch.arange(5), torch.arange(5) + 4
    learn.training = True
    cb.before_train()
    cb.lam, cb.yb1 = torch.full((5,), .7), (other,)
    p = scores.log_softmax(1)
    by_hand = -sum(.7 * p[i, one[i]] + .3 * p[i, other[i]] for i in range(5)) / 5
    assert_close(learn.loss_func(scores, one), by_hand, eps=1e-5)


def test_plots_are_repeatable():
    def pictures(seed): return [ax.images[0].get_array() for ax in plot_policies(FISH, n=2, seed=seed).axes]
    first, again, other = pictures(1), pictures(1), pictures(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))
    assert len(plot_policies(FISH, flip=False, n=1).axes) == len(POLICIES) - 2
