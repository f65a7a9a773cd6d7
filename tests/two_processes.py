"Train on synthetic fish in one process or several; write what each saw and its results. Run by test_distributed.py."
import atexit
import json
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from fastai.callback.core import Callback
from fastai.torch_core import rank_distrib, set_seed
from safetensors.torch import save_file

from fishlearn.callbacks.basic import KeepBest, WeightAveraging
from fishlearn.callbacks.checkpoints import Checkpoint
from fishlearn.callbacks.mixed_precision import AnyPrecision
from fishlearn.data.folders import from_folder
from fishlearn.processes import _local_only, main_process_first
from fishlearn.splits.split import split_photos
from fishlearn.train.balance import balanced_loader
from fishlearn.train.distributed import distributed_training
from fishlearn.train.learner import species_learner
from fishlearn.train.loaders import decode_photos, species_loaders
from fishlearn.train.stages import find_lr, fit_stage

rank, answers = rank_distrib(), {}
folder = Path(sys.argv[1])
torch.set_num_threads(1)


@atexit.register
def last_of_all():
    "Write which threads are left a moment after everything else has ended; Linux only."
    end = time.monotonic() + 3
    while "gloo" in " ".join(threads := [f.read_text() for f in Path("/proc/self/task").glob("*/comm")]):
        if time.monotonic() > end: break
        time.sleep(.05)
    (folder / f"threads{rank}.txt").write_text(" ".join(threads))


class Killed(BaseException): pass


class Killer(Callback):
    "Ends training in the third epoch, in every process."
    def before_batch(self):
        if self.training and self.epoch == 2: raise Killed


class Overflow(Callback):
    "The predictions of the last process overflow, once."
    order, due = AnyPrecision.order - 1, True
    def after_pred(self):
        if self.due and self.training and rank:
            self.learn.pred, self.due = self.learn.pred * float("inf"), False


class Batches(Callback):
    "Remembers the species in each training batch."
    def __init__(self): self.seen = []
    def before_batch(self):
        if self.training: self.seen.append(self.y.tolist())


def new_learner(epochs_seen=None, balance="none"):
    "A tiny network over 53 training and 17 validation photos; photos opened for training are noted."
    set_seed(0)
    dls = species_loaders(table, store, sorted(table.label.unique()), bs=4)
    dls.train = balanced_loader(dls.train, balance)
    if epochs_seen is not None:
        create = dls.train.create_item
        def create_item(i):
            epochs_seen.append(i)
            return create(i)
        dls.train.create_item = create_item
    learn = species_learner(dls, "test_resnet", pretrained=False)
    learn.freeze()
    return learn


def recipe(run, resume=False, cbs=(), epochs_seen=None):
    "Search a learning rate, train the head, train everything; return the Learner, the rate and the history."
    learn = new_learner(epochs_seen)
    callbacks = [Checkpoint(run, resume), AnyPrecision(torch.float32), KeepBest(), WeightAveraging(.5)]
    with distributed_training(learn), learn.added_cbs(callbacks):
        lr = find_lr(learn, num_it=8)
        if epochs_seen is not None: epochs_seen.clear()
        head = fit_stage(learn, "head", 1, 1e-2)
        learn.unfreeze()
        full = fit_stage(learn, "all", 3, slice(1e-4, 1e-2), cbs=cbs, improve=True)
    values = [h.drop(columns=["stage", "epoch"]).to_numpy().tolist() for h in (head, full)]
    return learn, lr, sum(values, [])


with main_process_first(): table, store = decode_photos(from_folder(folder / "fish"), 32)
table = split_photos(table, valid=.25)
table = table.drop([table.index[table.split == s][0] for s in ("train", "valid")])

seen = []
learn, answers["lr"], answers["history"] = recipe(folder / "run", epochs_seen=seen)
answers["seen"], answers["curve"] = seen, learn.lr_curve.loss.tolist()
save_file({k: v.contiguous() for k, v in learn.model.state_dict().items()}, folder / f"weights{rank}.safetensors")

with distributed_training(learn), learn.no_bar():
    answers["validated"] = list(map(float, learn.validate()))
    inside, targets, losses = learn.get_preds(with_loss=True)
    inputs = learn.get_preds(with_input=True)[0]
with _local_only(), learn.no_bar():
    answers["validated alone"] = list(map(float, learn.validate()))
    outside, expected, expected_losses = learn.get_preds(with_loss=True)
    answers["inputs"] = torch.equal(inputs, learn.get_preds(with_input=True)[0])
answers["predictions"] = [list(inside.shape), (inside - outside).abs().max().item(), torch.equal(targets, expected),
                          (losses - expected_losses).abs().max().item()]

try: recipe(folder / "cut", cbs=[Killer()])
except Killed: pass
again, *rest = recipe(folder / "cut", resume=True)
weights, same = learn.model.state_dict(), again.model.state_dict()
answers["resumed"] = [all(torch.equal(v, same[k]) for k, v in weights.items()),
                      rest == [answers["lr"], answers["history"]]]

early, wide, balanced = new_learner(), new_learner(), new_learner(balance="batches")
with distributed_training(early), early.no_logging(): early.fit(5, cbs=KeepBest("accuracy", patience=2, baseline=1.1))
answers["epochs before it stopped"] = len(early.recorder.values)
with distributed_training(wide), wide.no_logging(), wide.added_cbs([AnyPrecision(torch.bfloat16), Overflow()]):
    wide.fit(1)
    answers["precision"] = str(wide.any_precision.dtype)
with distributed_training(balanced), balanced.no_logging(), balanced.added_cbs(Batches()):
    balanced.fit(1)
    answers["balanced"] = [sorted(Counter(b).values()) for b in balanced.batches.seen]

(folder / f"answers{rank}.json").write_text(json.dumps(answers))
