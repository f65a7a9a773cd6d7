"Histories from every source, and what the charts show of them."
import numpy as np
import pandas as pd
import pytest

from fishlearn.callbacks.checkpoints import Checkpoint
from fishlearn.callbacks.logs import _lr_curves, _metric_names, _stage_spans, compare_runs, plot_history, read_history
from fishlearn.errors import ArgumentError

SMALL = pd.DataFrame(dict(stage=["probe", "all", "all"], epoch=[0, 0, 1], lr=[None, 4e-3, 3e-3], train_loss=[.9, .7, .5],
                          valid_loss=[None, .8, .6], macro_f1=[None, .6, .8], seconds=[3.1, None, None]))
LONG = pd.DataFrame(dict(stage=["probe"] + ["frozen"] * 2 + ["unfrozen"] * 6, epoch=[0, 0, 1, *range(6)], train_loss=np.linspace(1.2, .2, 9),
                         valid_loss=[None, *np.linspace(1.3, .4, 8)], accuracy=[None, *np.linspace(.5, .9, 8)], macro_f1=[None, *np.linspace(.4, .8, 8)]))
BLIND = LONG[["stage", "epoch", "train_loss"]].assign(valid_loss=np.nan)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    SMALL.to_csv("run/history.csv", index=False)
    return tmp_path


def labels(fig): return [line.get_label() for ax in fig.axes for line in ax.lines if not line.get_label().startswith("_")]


def test_sources(folder):
    for source in (SMALL, "run", "run/history.csv", folder / "run"): assert read_history(source).train_loss.tolist() == [.9, .7, .5]
    assert _metric_names(read_history("run")) == ["train_loss", "valid_loss", "macro_f1"]


def test_csv_logger(folder):
    (folder / "fastai.csv").write_text("epoch,train_loss,valid_loss,time\n0,0.9,0.8,00:03\n")
    assert read_history("fastai.csv").stage.tolist() == ["training"]


@pytest.mark.parametrize("source", ["nowhere", "empty.csv", "picture.jpg", None])
def test_no_history(folder, source):
    (folder / "empty.csv").touch()
    (folder / "picture.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00")
    with pytest.raises(ArgumentError, match="There is no history in"): read_history(source)


def test_history_without_epochs():
    with pytest.raises(ArgumentError, match="a training that has finished an epoch"): read_history(Checkpoint().history)


def test_spans(): assert _stage_spans(read_history(SMALL)) == [("probe", .5, 1.5), ("all", 1.5, 3.5)]


def test_learning_rates():
    table = read_history(SMALL)
    [(at, rates)] = _lr_curves(table)
    assert (at.tolist(), rates.tolist()) == ([2, 3], [4e-3, 3e-3])
    [(at, rates)] = _lr_curves(table, [1e-3, 4e-3, 3e-3, 0])
    assert (at.tolist(), rates.tolist()) == ([1.75, 2.25, 2.75, 3.25], [1e-3, 4e-3, 3e-3, 0])
    assert len(_lr_curves(table, dict(probe=[.1], all=[.2]))) == 2
    assert _lr_curves(read_history(SMALL.drop(columns="lr"))) == []


def test_chart():
    fig = plot_history(LONG, dict(frozen=[1e-3] * 20, unfrozen=[1e-3] * 120))
    assert [ax.get_ylabel() for ax in fig.axes] == ["loss", "metrics", "learning rate"]
    assert [t.get_text() for t in fig.axes[0].texts] == ["probe", "frozen", "unfrozen"]
    assert fig.axes[1].lines[1].get_ydata().tolist() == LONG.macro_f1.dropna().tolist()
    assert [len(line.get_xdata()) for line in fig.axes[2].lines[:2]] == [20, 120]


@pytest.mark.parametrize("history, names, panels", [
    (BLIND, ["training loss"], 1), (LONG[:1], ["training loss"], 1), (SMALL[1:2], ["training loss", "validation loss", "macro F1"], 3)])
def test_missing_values_take_no_space(history, names, panels):
    fig = plot_history(history)
    assert labels(fig) == names and len(fig.axes) == panels


def test_compare():
    fig = compare_runs({"one": LONG, "two": SMALL})
    assert (labels(fig), fig.axes[0].get_ylabel()) == (["one", "two"], "macro F1")
    assert compare_runs(dict(one=LONG, blind=BLIND)).axes[0].get_ylabel() == "training loss"
    assert compare_runs(dict(a="run", b="run/history.csv"), "valid_loss").axes[0].get_ylabel() == "validation loss"


@pytest.mark.parametrize("runs, metric, message", [
    (dict(a=LONG, b=SMALL), "f2", "no common metric 'f2'; write one of: train_loss"), ({}, None, "no runs to compare"),
    (dict(a=SMALL[["stage", "macro_f1"]], b=BLIND), None, "The runs a, b have no metric in common"),
    (dict(a="nowhere"), None, "There is no history in 'nowhere'")])
def test_refused_comparisons(runs, metric, message):
    with pytest.raises(ArgumentError, match=message): compare_runs(runs, metric)
