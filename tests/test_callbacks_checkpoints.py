"States on disk, and trainings that are interrupted at any batch."
import copy
import os
import stat
from contextlib import contextmanager

import fastai.callback.schedule  # noqa: F401
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from safetensors import safe_open
from torch import nn

from fishlearn.callbacks.basic import EpochSeed, KeepBest, WeightAveraging
from fishlearn.callbacks.checkpoints import Checkpoint, _epoch_table, _read_state, _write_state
from fishlearn.errors import JobError

STATE = dict(epoch=3, lr=[.1, 1e-5 / 3], weights={"1.bias": torch.arange(3.), "n": torch.tensor(7)}, none=None, rows=[[1, None], []])


def test_state(tmp_path):
    _write_state(tmp_path / "state.safetensors", STATE)
    again = _read_state(tmp_path / "state.safetensors")
    assert torch.equal(again["weights"]["1.bias"], STATE["weights"]["1.bias"])
    assert {k: v for k, v in again.items() if k != "weights"} == {k: v for k, v in STATE.items() if k != "weights"}


def test_format(tmp_path):
    _write_state(tmp_path / "state.safetensors", dict(a=1, b=[torch.ones(2), dict(c=torch.zeros(1))]))
    with safe_open(tmp_path / "state.safetensors", "pt") as f:
        assert {k: v for k, v in f.metadata().items() if k != "sha256"} == dict(state='{"dict": [["a", 1], ["b", [{"tensor": "t0"}, {"dict": [["c", {"tensor": "t1"}]]}]]]}')
        assert sorted(f.keys()) == ["t0", "t1"]


def test_damaged_state(tmp_path):
    _write_state(tmp_path / "state.safetensors", STATE)
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "state.safetensors").read_bytes()[:150])
    with pytest.raises(JobError, match="is not a checkpoint, or it is damaged"): _read_state(tmp_path / "half.safetensors")


@contextmanager
def full_disk(most):
    "No file can grow beyond a number of bytes."
    resource = pytest.importorskip("resource")
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, was[1]))
    try: yield
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, was)


def test_full_disk_keeps_the_old_state(tmp_path):
    _write_state(tmp_path / "state.safetensors", STATE)
    with full_disk(10_000), pytest.raises(Exception):  # noqa: B017 (safetensors and the system raise different ones)
        _write_state(tmp_path / "state.safetensors", dict(x=torch.zeros(9999)))
    assert _read_state(tmp_path / "state.safetensors")["epoch"] == 3


def test_full_disk_is_a_sentence(tmp_path):
    with full_disk(10_000), pytest.raises(JobError, match="cannot be written: File too large; free some space"):
        _write_state(tmp_path / "state.safetensors", dict(x=torch.zeros(9999)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_modes_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try: Checkpoint(tmp_path / "run")._once("lr", lambda: .003)
    finally: os.umask(before)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "run").iterdir()}
    assert (stat.S_IMODE((tmp_path / "run").stat().st_mode), modes) == (0o777 & ~umask, {0o666 & ~umask})
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["history.csv", "state.safetensors"]


def test_a_file_in_place_of_the_folder_is_kept(tmp_path):
    (tmp_path / "run").write_text("mine")
    Checkpoint(tmp_path / "run")._once("lr", lambda: .003)
    assert (tmp_path / "run").read_text() == "mine"


def test_links_are_not_followed(tmp_path):
    "The hidden name could be guessed, and what it pointed to was overwritten."
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".state.safetensors.part").symlink_to("precious")
    _write_state(tmp_path / "state.safetensors", STATE)
    assert (tmp_path / "precious").read_text() == "precious"


def test_history_without_epochs(): assert len(_epoch_table("head", ["train_loss"], [], [])) == 0


def test_once_without_resume(tmp_path):
    Checkpoint(tmp_path)._once("lr", lambda: .003)
    assert Checkpoint(tmp_path)._once("lr", lambda: .5) == .5


class Death(BaseException): pass


class Killer(Callback):
    def __init__(self, when): self.when = when
    def after_batch(self):
        if self.learn.training and self.learn.train_iter == self.when: raise Death


def toy(checkpoint):
    "A Learner on two clouds of points, with callbacks that have a state."
    torch.manual_seed(0)
    g, cpu = torch.Generator().manual_seed(0), torch.device("cpu")
    y = torch.arange(64) % 2
    x = torch.randn(64, 4, generator=g) + y[:, None]
    data = [DataLoader(list(zip(x, y)), bs=16, shuffle=s, device=cpu) for s in (True, False)]
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(.2), nn.Linear(8, 2))
    learn = Learner(DataLoaders(*data, device=cpu), net, loss_func=nn.CrossEntropyLoss(),
                    cbs=[checkpoint, EpochSeed(0, "all"), KeepBest("valid_loss"), WeightAveraging(.9)])
    learn.remove_cbs([cb for cb in learn.cbs if cb.name == "progress"])
    return learn


def run(folder, resume=False, killed=None):
    "Train six epochs of one cycle, killed and resumed if asked; returns weights and history."
    learn = toy(Checkpoint(folder, resume))
    learn.checkpoint._begin_stage("all")
    try:
        with learn.no_logging(): learn.fit_one_cycle(6, .05, cbs=None if killed is None else Killer(killed))
    except Death: return run(folder, resume=True)
    return learn.model.state_dict(), learn.checkpoint.history.to_dict("list") | dict(lrs=learn.recorder.lrs)


@pytest.mark.parametrize("killed", [0, 9, 12, 23])
def test_resumed_training_is_the_same(tmp_path, killed):
    weights, history = run(tmp_path / "whole")
    again, rows = run(tmp_path / "cut", killed=killed)
    assert rows == history
    assert all(torch.equal(again[k], v) for k, v in weights.items())
    assert (len(rows["valid_loss"]), len(rows["lrs"]), max(rows["lr"])) == (6, 24, max(rows["lrs"]))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    "A training that was killed in its third epoch, and the weights it should end with."
    folder = tmp_path_factory.mktemp("cut")
    whole = run(folder / "whole")[0]
    learn = toy(Checkpoint(folder / "cut"))
    learn.checkpoint._begin_stage("all")
    try:
        with learn.no_logging(): learn.fit_one_cycle(6, .05, cbs=Killer(9))
    except Death: pass
    return folder / "cut" / "state.safetensors", whole


def resumed(file):
    "The weights that a training from a state ends with; None if the state is refused in one sentence."
    try: return run(file.parent, resume=True)[0]
    except JobError as e:
        assert str(e).endswith("delete it and start again.") and "\n" not in str(e)


def copy_state(cut, tmp_path):
    file = tmp_path / "state.safetensors"
    file.write_bytes(cut.read_bytes())
    return file


@pytest.mark.parametrize("at", [0, 7, 8, 20, 200, -2000, -1])
def test_changed_and_cut_off_bytes_are_refused(cut, tmp_path, at):
    file = copy_state(cut[0], tmp_path)
    data = bytearray(file.read_bytes())
    for changed in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]):
        file.write_bytes(changed)
        assert resumed(file) is None


def test_old_states_without_a_checksum_are_refused(cut, tmp_path):
    from safetensors.torch import load_file, save_file
    with safe_open(cut[0], "pt") as f: state = f.metadata()["state"]
    save_file(load_file(cut[0]), tmp_path / "state.safetensors", metadata=dict(state=state))
    assert resumed(tmp_path / "state.safetensors") is None


def nested(depth):
    tree = 1
    for _ in range(depth): tree = [tree]
    return tree


def at(*keys, value=None, change=None):
    "A change of a state at some place."
    def tamper(state):
        *way, last = keys
        for k in way: state = state[k]
        state[last] = change(state[last]) if change else value
    return tamper


def drop(*keys):
    def tamper(state):
        *way, last = keys
        for k in way: state = state[k]
        del state[last]
    return tamper


RUBBISH = [None, 3, "text", [], [1, [2]], dict(a=1), torch.zeros(2), torch.zeros(2, dtype=torch.int64)]
PLACES = [("done",), ("found",), ("now",), ("lrs",), ("model",), ("lrs", "all"), ("model", "0.weight"), ("now", "rows"), ("now", "opt"),
          ("now", "smooth"), ("now", "cbs"), ("now", "stage"), ("now", "names"), ("now", "opt", "state"), ("now", "opt", "hypers"),
          ("now", "cbs", "keep_best"), ("now", "cbs", "weight_averaging"), ("now", "cbs", "keep_best", "weights"), ("now", "rows", 0)]
SHAPES = [at("model", "0.weight", change=lambda t: t.T.contiguous()), at("model", "0.weight", change=torch.Tensor.double),
          at("now", "opt", "state", 0, change=lambda s: {k: v.T.contiguous() if getattr(v, "ndim", 0) else v for k, v in s.items()}),
          at("now", "cbs", "keep_best", "weights", "0.weight", change=lambda t: t[:1].clone()), at("now", "rows", change=lambda r: r * 40),
          at("done", value=dict(all=dict(a=[1], b=[1, 2]))), at("found", value=dict(plan=[1])), at("found", value=dict(lr=dict(a=1)))]


def signed(cut, tmp_path, tamper):
    "A state that was changed, with a checksum that is right."
    state = copy.deepcopy(_read_state(cut))
    tamper(state)
    _write_state(tmp_path / "state.safetensors", state)
    return tmp_path / "state.safetensors"


@pytest.mark.parametrize("place", PLACES, ids=lambda p: "-".join(map(str, p)))
def test_rubbish_with_a_right_checksum(cut, tmp_path, place):
    "Never an internal error: refused, or the training ends with some weights."
    for tamper in (drop(*place), *(at(*place, value=v) for v in RUBBISH)):
        resumed(signed(cut[0], tmp_path, tamper))


@pytest.mark.parametrize("tamper", SHAPES)
def test_wrong_shapes_are_refused(cut, tmp_path, tamper): assert resumed(signed(cut[0], tmp_path, tamper)) is None


def test_deep_nesting_is_refused(cut, tmp_path):
    from safetensors.torch import load_file, save_file

    from fishlearn.callbacks.checkpoints import _digest
    tensors, tree = load_file(cut[0]), "[" * 50_000 + "]" * 50_000
    save_file(tensors, tmp_path / "state.safetensors", metadata=dict(state=tree, sha256=_digest(tree, tensors)))
    assert resumed(tmp_path / "state.safetensors") is None


def test_untouched_state_is_resumed(cut, tmp_path):
    weights = resumed(copy_state(cut[0], tmp_path))
    assert all(torch.equal(weights[k], v) for k, v in cut[1].items())
