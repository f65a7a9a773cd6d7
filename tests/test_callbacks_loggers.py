"Loggers over stages, searches and interruptions: what each of the three services is told."
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner, Recorder
from fastai.metrics import accuracy
from torch import nn

from fishlearn.callbacks.checkpoints import Checkpoint
from fishlearn.callbacks.loggers import LOGGERS, loggers
from fishlearn.errors import ArgumentError, JobError
from fishlearn.train.stages import find_lr, fit_stage


class Death(BaseException): pass


class Killer(Callback):
    "Dies at the fifth step of a stage, after everything is logged."
    order = Recorder.order + 2
    def after_batch(self):
        if self.learn.training and len(self.learn.recorder.lrs) == 5: raise Death


class Watch(Callback):
    "Notes the smoothed loss of every step; the last value counts."
    order = Recorder.order + 1
    def __init__(self, losses): self.losses = losses
    def after_batch(self):
        if self.learn.training: self.losses[self.learn.checkpoint.state["now"]["stage"], len(self.learn.recorder.lrs)] = float(self.learn.recorder.losses[-1])


def make_learner(valid=True):
    "A small Learner with three steps per epoch."
    torch.manual_seed(0)
    data, cpu = [(torch.randn(4), torch.tensor(i % 2)) for i in range(12)], torch.device("cpu")
    dls = DataLoaders(DataLoader(data, bs=4, device=cpu), DataLoader(data if valid else [], bs=4, device=cpu), device=cpu)
    learn = Learner(dls, nn.Linear(4, 2), loss_func=nn.CrossEntropyLoss(), lr=.01, metrics=accuracy)
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    return learn


def two_stages(folder, log, resume=False, kill=False, search=False, losses=None):
    "Two stages of one and three epochs, perhaps killed and then resumed by another Learner with another logger."
    losses = {} if losses is None else losses
    learn = make_learner()
    try:
        with learn.no_logging(), learn.added_cbs([Checkpoint(folder, resume), Watch(losses), *loggers(log, folder)]):
            fit_stage(learn, "first", 1, .01)
            if search: find_lr(learn, "second", num_it=4)
            fit_stage(learn, "second", 3, .005, cbs=[Killer()] * kill)
            return learn.checkpoint
    except Death: return two_stages(folder, log, resume=True, losses=losses)


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    return EventAccumulator(str(folder / "tensorboard")).Reload()


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    losses = {}
    checkpoint = two_stages(tmp_path, "tensorboard", kill=True, search=True, losses=losses)
    events = scalars(tmp_path)
    values = {name: [e.value for e in events.Scalars(name)] for name in ("train_loss", "lr_0", "valid_loss", "accuracy")}
    for name in ("train_loss", "lr_0"): assert [e.step for e in events.Scalars(name)] == list(range(1, 13))
    for name in ("valid_loss", "accuracy"): assert [e.step for e in events.Scalars(name)] == [3, 6, 9, 12]
    assert values["train_loss"] == pytest.approx([losses[stage, i] for stage, k in (("first", 3), ("second", 9)) for i in range(1, k + 1)])
    assert values["lr_0"] == pytest.approx([rate for stage in checkpoint.state["lrs"].values() for rate in stage.tolist()])
    for name in ("valid_loss", "accuracy"): assert values[name] == pytest.approx(checkpoint.history[name].tolist())


def test_without_validation_and_checkpoint(tmp_path):
    pytest.importorskip("tensorboard")
    learn = make_learner(valid=False)
    with learn.no_logging(), learn.added_cbs(loggers("tensorboard", tmp_path)):
        learn.fit(1)
        learn.fit(1)
    assert [e.step for e in scalars(tmp_path).Scalars("train_loss")] == list(range(1, 7))
    assert "valid_loss" not in scalars(tmp_path).Tags()["scalars"]


class Wandb(ModuleType):
    "Stands in for Weights & Biases."
    run = None
    def __init__(self):
        super().__init__("wandb")
        self.started, self.logged, self.open = [], [], False
    def finish(self): self.open = False
    def init(self, **kwargs):
        self.started.append(kwargs | dict(open=self.open))
        self.open = True
        return self
    def log(self, numbers, step=None, commit=False): self.logged.append((step, numbers))


def test_wandb(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", fake := Wandb())
    monkeypatch.delenv("WANDB_MODE", raising=False)
    checkpoint = two_stages(tmp_path / "run", "wandb", kill=True)
    first, second = fake.started
    assert (first["id"], first["mode"], first["resume"], Path(first["dir"]).name) == (second["id"], "offline", None, "run")
    assert (first["open"], second["open"]) == (False, False)
    assert [step for step, numbers in fake.logged if "lr" in numbers] == [*range(1, 9), *range(7, 13)]  # the steps of the unfinished epoch twice
    scores = [(step, numbers["accuracy"]) for step, numbers in fake.logged if "accuracy" in numbers]
    assert scores == list(zip([3, 6, 9, 12], checkpoint.history.accuracy))


class Mlflow(ModuleType):
    "Stands in for MLflow."
    def __init__(self):
        super().__init__("mlflow")
        self.runs, self.logged, self.ended, self.uri = [], [], [], None
        self.entities = SimpleNamespace(Metric=lambda key, value, timestamp, step: (step, key, value))
    def active_run(self): return None
    def MlflowClient(self, uri):
        self.uri = uri
        return self
    def get_experiment_by_name(self, name): return SimpleNamespace(experiment_id="1") if self.runs else None
    def create_experiment(self, name): return "1"
    def create_run(self, experiment, run_name):
        self.runs.append(run_name)
        return SimpleNamespace(info=SimpleNamespace(run_id=f"r{len(self.runs)}"))
    def log_batch(self, run_id, metrics): self.logged += [(run_id, *m) for m in metrics]
    def set_terminated(self, run_id): self.ended.append(run_id)


def test_mlflow(tmp_path, monkeypatch):
    fake = Mlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    monkeypatch.setitem(sys.modules, "mlflow.entities", fake.entities)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    checkpoint = two_stages(tmp_path / "run", "mlflow", kill=True)
    assert (fake.runs, {run for run, *_ in fake.logged}, fake.uri.endswith("/run/mlflow.db")) == (["run"], {"r1"}, True)
    assert [step for _, step, key, _ in fake.logged if key == "lr"] == list(range(1, 13))
    scores = [(step, value) for _, step, key, value in fake.logged if key == "accuracy"]
    assert scores == list(zip([3, 6, 9, 12], checkpoint.history.accuracy))
    two_stages(tmp_path / "run", "mlflow")  # a new training in the same folder is another run
    assert (fake.runs, fake.logged[-1][0], fake.ended[-1]) == (["run"] * 2, "r2", "r2")


def test_names(tmp_path):
    assert loggers(None) == []
    with pytest.raises(ArgumentError, match="write one of: tensorboard, wandb, mlflow"): loggers("tensorbord", "run")
    with pytest.raises(ArgumentError, match="name one with run="): loggers("tensorboard")


@pytest.mark.parametrize("name", LOGGERS)
def test_packages_that_are_missing(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(JobError, match=f"pip install {name}"): loggers(name, "run")
