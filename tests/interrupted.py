"One fine-tuning on drawn photos, in a process of its own that can be killed."
import json, os
from pathlib import Path

from fishlearn.cache import _weights_hash
from fishlearn.train.loaders import decode_photos
from fishlearn.data.folders import from_folder
from fishlearn.train.runs import TrainingConfig, fit_photos
from fishlearn.splits.split import split_photos


def train(photos, run, resume, out):
    "Train, or go on, with a cache of its own; write down the weights' fingerprint and the history."
    os.environ["FISHLEARN_CACHE"] = f"{run}.cache"
    table, store = decode_photos(from_folder(photos), size=32)
    how = TrainingConfig("finetune", epochs=4, bs=12, augment="trivial", balance="batches", average=.9, clip=1., precision="float32", layout="channels_last")
    learn, history, _ = fit_photos(split_photos(table), store, config=how, run=run, resume=resume)
    Path(out).write_text(json.dumps([_weights_hash(learn.model), history.round(9).fillna(-1).to_dict("list")]))
