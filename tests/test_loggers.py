"Loggers with the packages themselves, where they are installed."
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.metrics import accuracy
from torch import nn

from fishlearn.callbacks.checkpoints import Checkpoint
from fishlearn.callbacks.loggers import loggers
from fishlearn.train.stages import fit_stage


class Death(BaseException): pass


class Killer(Callback):
    "Dies in the second epoch of a stage, after its first step is logged."
    order = 60
    def after_batch(self):
        if self.learn.training and len(self.learn.recorder.lrs) == 5: raise Death


def train(name, folder, resume=False, killed=False):
    "Two stages of a toy, logged."
    torch.manual_seed(0)
    data = [(torch.randn(4), torch.tensor(i % 2)) for i in range(16)]
    cpu = torch.device("cpu")
    dls = DataLoaders(*(DataLoader(data, bs=4, device=cpu) for _ in range(2)), device=cpu)
    learn = Learner(dls, nn.Linear(4, 2), loss_func=nn.CrossEntropyLoss(), lr=.01, metrics=accuracy)
    cbs = loggers(name, folder)
    with learn.no_bar(), learn.no_logging(), learn.added_cbs([Checkpoint(folder, resume), *cbs]):
        fit_stage(learn, "first", 1, .01)
        fit_stage(learn, "second", 2, .01, cbs=[Killer()] * killed)
    return learn, cbs[0], learn.recorder.values


def train_killed(name, folder):
    "The same, killed and taken up again."
    with pytest.raises(Death): train(name, folder, killed=True)
    return train(name, folder, resume=True)


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    learn, logger, values = train_killed("mlflow", tmp_path)
    read = lambda name: [(m.step, m.value) for m in logger.client.get_metric_history(logger.run_id, name)]
    assert [step for step, _ in read("train_loss")] == list(range(1, 13))
    assert read("valid_loss")[-2:] == [(8, pytest.approx(values[0][1])), (12, pytest.approx(values[1][1]))]
    assert logger.client.get_run(logger.run_id).info.status == "FINISHED"
    assert len(logger.client.search_runs([logger.client.get_experiment_by_name("fishlearn").experiment_id])) == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{(tmp_path / 'mlflow.db').as_posix()}")
    with mlflow.start_run() as run: train("mlflow", tmp_path / "theirs")
    assert len(logger.client.get_metric_history(run.info.run_id, "train_loss")) == 12
    assert not (tmp_path / "theirs" / "mlflow.db").exists()


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    learn, logger, values = train_killed("wandb", tmp_path)
    assert logger.into.summary["valid_loss"] == pytest.approx(values[-1][1])
    assert logger.into.summary["_step"] == 12
    assert len({p.name.rsplit("-")[-1] for p in (tmp_path / "wandb").glob("offline-run-*")}) == 1
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2
    logger.into.finish()


def test_own_wandb_run(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    train("wandb", tmp_path / "ours")
    assert wandb.run is None
    with wandb.init(mode="offline", dir=str(tmp_path)) as run:
        run.log(dict(other=1), step=7)
        learn, logger, values = train("wandb", tmp_path / "theirs")
        assert logger.into is run and run.summary["valid_loss"] == pytest.approx(values[-1][1])
        assert run.summary["_step"] == 7 + 12
    assert not (tmp_path / "theirs" / "wandb").exists()
