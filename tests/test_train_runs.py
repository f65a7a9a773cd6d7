"Training runs: every recipe and way to balance, runs that are killed and resumed, options that don't go together."
import pytest
from fastai.callback.core import Callback

from fishlearn.data.folders import from_folder
from fishlearn.data.tables import from_csv
from fishlearn.errors import ArgumentError, JobError
from fishlearn.messages import quiet
from fishlearn.samples.fish import sample_fish
from fishlearn.samples.reef import sample_reef
from fishlearn.splits.split import split_photos
from fishlearn.train import runs
from fishlearn.train.config import TrainingConfig
from fishlearn.train.loaders import decode_photos


@pytest.fixture(scope="module")
def fish(tmp_path_factory):
    "A split table of synthetic photos, and their store."
    folder = tmp_path_factory.mktemp("fish")
    sample_fish(folder, per_species=8, size=64)
    photos, store = decode_photos(from_folder(folder), 64)
    return split_photos(photos), store


@pytest.fixture(scope="module")
def few(fish):
    "Four training photos of three species, and no validation photos."
    photos, store = fish
    three = photos[photos.label.isin(photos.label.unique()[:3])]
    return three.groupby("label").head(4).assign(split="train"), store


def fit(photos, *args, **kwargs):
    "Train without lines, bars and tables."
    with quiet(): return runs.fit_photos(*photos, *args, **kwargs)


class Killed(BaseException):
    "Ends a training like a power cut."


class Killer(Callback):
    "Raises at the first batch of the second epoch."
    def after_batch(self):
        if self.learn.training and self.learn.epoch == 1: raise Killed


def test_killed_and_resumed(fish, tmp_path, monkeypatch):
    "Killed in its second epoch and resumed, a run ends with the same weights and history."
    config = TrainingConfig("finetune", epochs=2, bs=16, augment="trivial", balance="batches", average=.9, clip=1.,
                            accumulate=2, patience=5)
    whole = fit(fish, config, run=tmp_path / "whole")
    build = runs._build_learner
    with monkeypatch.context() as patch:
        patch.setattr(runs, "_build_learner", lambda *args: build(*args).add_cb(Killer()))
        with pytest.raises(Killed): fit(fish, config, run=tmp_path / "cut")
    again = fit(fish, config, run=tmp_path / "cut", resume=True)
    for k, v in whole.learner.model.state_dict().items(): assert (again.learner.model.state_dict()[k] == v).all()
    assert again.history.fillna(-1).equals(whole.history.fillna(-1))


@pytest.mark.parametrize("recipe", ["gradual", "scratch", "metric"])
def test_every_recipe(few, recipe):
    assert len(fit(few, TrainingConfig(recipe, epochs=1)).history)


@pytest.mark.parametrize("balance", ["none", "oversample", "weights", "focal", "smoothing", "logits"])
def test_every_balance(few, balance):
    assert len(fit(few, TrainingConfig("scratch", epochs=1, balance=balance, augment="none")).history) == 1


def test_without_validation(few):
    "Without validation photos there is no score, and the last weights stay."
    config = TrainingConfig("finetune", epochs=1, augment="mixup", opt="sgd", clip_value=.1, flip=False)
    assert fit(few, config).history.valid_loss.isna().all()


def test_metric_scores(fish, capsys):
    "After the recipe metric, validation photos are classified in three ways."
    runs.fit_photos(*fish, TrainingConfig("metric", epochs=1, metric_loss="quadruplet"))
    shown = capsys.readouterr().out
    assert "centroid" in shown and "k-NN" in shown


@pytest.mark.parametrize("config, sentence", [(TrainingConfig("metric"), "needs one species per photo"),
                                              (TrainingConfig(balance="batches"), "one species per photo")])
def test_several_species(tmp_path, config, sentence):
    "Some options need one species per photo."
    sample_reef(tmp_path, photos=16, size=64)
    reef, store = decode_photos(from_csv(tmp_path / "labels.csv", label_delim=";"), 64)
    with pytest.raises(ArgumentError, match=sentence): fit((split_photos(reef, valid=.3), store), config, multilabel=True)


@pytest.mark.parametrize("options, sentence", [
    (dict(recipe="probe", epochs=3), "The recipe 'probe' has no epochs"), (dict(balance="batch"), "write one of: none, batches"),
    (dict(augment="flip", flip=False), "flip"), (dict(average=1), "such as 0.99"), (dict(dropout=1), "such as 0.2"),
    (dict(bs=0), "bs must be above 0"), (dict(weights="gone.pth"), "There is no weights file gone.pth")])
def test_refused_options(options, sentence):
    with pytest.raises(ArgumentError, match=sentence): TrainingConfig(**options)


def test_force_starts_again_only_when_ready(few, tmp_path, monkeypatch):
    "A mistyped option cost the earlier run."
    from pathlib import Path

    from fishlearn.callbacks.checkpoints import _read_state
    from fishlearn.commands.train import _train_and_save
    run = tmp_path / "out.run"
    runs._open_run(run, False, dict(recipe="probe"))
    before = (run / "state.safetensors").read_bytes()
    for photos, options in (("nope", {}), (tmp_path, dict(recipe="nonsense")), (tmp_path, dict(log=["nonsense"])), (tmp_path, {})):
        with pytest.raises((ArgumentError, JobError)): _train_and_save(str(photos), None, tmp_path / "out", False, True, options)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(runs, "_build_learner", lambda *args: 1 / 0)
        fit(few, TrainingConfig("probe"), run=run, force=True)
    with pytest.raises(ArgumentError, match="logger"): fit(few, TrainingConfig("probe", log="nonsense"), run=run, force=True)
    assert (run / "state.safetensors").read_bytes() == before
    runs._open_run(Path(run), False, dict(recipe="scratch"), force=True)
    assert _read_state(run / "state.safetensors")["found"]["plan"] == dict(recipe="scratch")


@pytest.mark.parametrize("broken, sentence", [
    (None, "exists already; the training is kept in {run}, so move {out} elsewhere, and run the same command with --resume to save"),
    ("all", "exists already; choose another folder"),
    ("last", "kept in {run} up to the last state that could be written, so move {out} elsewhere, and run the same command with --resume to go on")])
def test_target_that_appears_meanwhile(few, tmp_path, monkeypatch, caplog, broken, sentence):
    "The training was lost in both ways that the sentence named, and it was not kept if its state could not be written."
    from types import SimpleNamespace

    from fishlearn.callbacks import checkpoints
    from fishlearn.commands.train import _save
    from fishlearn.errors import FishlearnError
    from fishlearn.targets import _check_target, _kept_stages
    run, out, write = tmp_path / "out.run", tmp_path / "out", checkpoints._write_state
    def failing(file, state):
        if broken and state["model"] and (broken == "all" or _kept_stages(run) is not None): raise JobError("The disk is full.")
        write(file, state)
    monkeypatch.setattr(checkpoints, "_write_state", failing)
    monkeypatch.setattr(checkpoints.logger, "propagate", True)
    history = runs.fit_photos(*few, TrainingConfig("finetune", epochs=1, bs=8), run=run).history
    assert ("no state to resume from" in caplog.text, "last good state is kept" in caplog.text) == (broken == "all", broken == "last")
    out.mkdir()
    model = SimpleNamespace(history=history, save=_check_target)
    with pytest.raises(FishlearnError) as e: _save(model, out, False, run)
    assert sentence.format(run=run, out=out) in str(e.value)
    assert (_kept_stages(run) is None) == (broken == "all") and run.is_dir()
