"Stages: interrupted anywhere, they end with the same weights; a search always gives a learning rate."
from copy import deepcopy

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastcore.basics import noop

from fishlearn.callbacks.basic import KeepBest, WeightAveraging
from fishlearn.callbacks.checkpoints import Checkpoint
from fishlearn.callbacks.mixed_precision import AnyPrecision
from fishlearn.data.folders import from_folder
from fishlearn.errors import ArgumentError
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.split import split_photos
from fishlearn.train.learner import species_learner
from fishlearn.train.loaders import decode_photos, species_loaders
from fishlearn.train.stages import _suggest_lr, find_lr, fit_stage, load_stage


class Killed(BaseException):
    "Ends a training like a power cut."


class Raise(Callback):
    "Raises at a training step."
    def __init__(self, error, step): self.error, self.step = error, step

    def after_batch(self):
        if self.learn.training and self.learn.train_iter == self.step: raise self.error


@pytest.fixture(scope="module")
def fish(tmp_path_factory):
    "Split photos of nine species, and their store."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=8, size=64)
    photos, store = decode_photos(from_folder(folder), 64)
    return split_photos(photos, valid=.25), store


@pytest.fixture
def new_learner(fish):
    "A function that makes the same silent Learner each time."
    photos, store = fish
    dls = species_loaders(photos, store, sorted(photos.label.unique()), bs=16)

    def make():
        torch.manual_seed(0)
        learn = species_learner(dls)
        learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
        learn.logger = noop
        return learn
    return make


def two_stages(learn, folder, resume=False, step=None):
    "Train the head, then everything; perhaps be killed at a step of the second stage, and continue."
    cbs = [Checkpoint(folder, resume), AnyPrecision(torch.float32), KeepBest(), WeightAveraging(.9)]
    killers = [] if step is None else [Raise(Killed, step)]
    with learn.added_cbs(cbs):
        fit_stage(learn, "head", 1, .01)
        learn.unfreeze()
        history = fit_stage(learn, "all", 3, slice(1e-4, 1e-2), cbs=killers, improve=True)
    return learn.model.state_dict(), history.to_dict("list")


@pytest.mark.parametrize("step", [1, 7])
def test_resumed_training_ends_the_same(new_learner, tmp_path, step):
    weights, history = two_stages(new_learner(), tmp_path / "whole")
    with pytest.raises(Killed): two_stages(new_learner(), tmp_path / "cut", step=step)
    again, same_history = two_stages(new_learner(), tmp_path / "cut", resume=True)
    assert all(torch.equal(again[k], v) for k, v in weights.items()) and same_history == history


def test_history_and_saved_weights(new_learner, tmp_path):
    learn = new_learner()
    with learn.added_cbs(Checkpoint(tmp_path)): history = fit_stage(learn, "head", 2, .01)
    assert history.stage.tolist() == ["head", "head"]
    assert history.lr.max() == pytest.approx(.01, abs=1e-3)
    assert history.train_loss.iloc[1] < history.train_loss.iloc[0]
    other = load_stage(new_learner(), tmp_path / "stage-head.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(other.model.parameters(), learn.model.parameters(), strict=True))


@pytest.mark.parametrize("folder, sentence", [("run", "0 epochs of it are saved in run"), (None, "nothing is saved")])
def test_ctrl_c_is_explained(new_learner, tmp_path, monkeypatch, capsys, folder, sentence):
    monkeypatch.chdir(tmp_path)
    learn = new_learner()
    with learn.added_cbs(Checkpoint(folder)), pytest.raises(KeyboardInterrupt):
        fit_stage(learn, "head", 1, .01, cbs=Raise(KeyboardInterrupt, 1))
    assert f"stopped in epoch 1 of stage 'head': {sentence}" in capsys.readouterr().out


def test_weights_that_cannot_be_written_are_reported(new_learner, tmp_path, capsys):
    learn = new_learner()
    (tmp_path / "file").touch()
    with learn.added_cbs(Checkpoint(tmp_path / "file")): fit_stage(learn, "head", 1, .01)
    assert "stage-head.safetensors cannot be written" in capsys.readouterr().out


def test_unknown_schedule(new_learner):
    with pytest.raises(ArgumentError, match="write one of: one_cycle, flat"):
        fit_stage(new_learner(), "head", 1, .01, schedule="steps")


def test_suggestions():
    rates = np.geomspace(1e-7, 10, 100)
    bowl = 2 + .4 * np.clip((np.log10(rates) + 2), -3, None) ** 2
    assert 1e-4 < _suggest_lr(rates, bowl) < 1e-2
    assert [_suggest_lr([], []), _suggest_lr([1e-7] * 3, [float("nan")] * 3)] == [3e-3] * 2
    assert [_suggest_lr(rates * 1e-6, bowl), _suggest_lr(rates * 1e6, bowl)] == [1e-5, .1]


def test_search_restores_the_weights(new_learner):
    learn = new_learner()
    before = deepcopy(learn.model.state_dict())
    assert 1e-5 <= find_lr(learn) <= .1
    assert all(torch.equal(learn.model.state_dict()[k], v) for k, v in before.items())


def test_search_with_one_batch_per_epoch(new_learner, fish):
    photos, store = fish
    learn = new_learner()
    few = photos.groupby("label").head(2).assign(split="train")
    learn.dls = species_loaders(few, store, learn.dls.vocab, bs=32)
    assert len(learn.dls.train) == 1
    assert 1e-5 <= find_lr(learn) <= .1
