"One fine-tuning on synthetic photos, in a process of its own that can be killed."
import json
import os
from pathlib import Path

from fishlearn.cache import _weights_hash
from fishlearn.data.folders import from_folder
from fishlearn.splits.split import split_photos
from fishlearn.train.config import TrainingConfig
from fishlearn.train.loaders import decode_photos
from fishlearn.train.runs import fit_photos


def train(photos, run, resume, out):
    "Train, or resume, with a cache of its own; write the hash of the weights, and the history."
    os.environ["FISHLEARN_CACHE"] = f"{run}.cache"
    table, store = decode_photos(from_folder(photos), 32)
    config = TrainingConfig("finetune", epochs=4, bs=12, augment="trivial", balance="batches", average=.9, clip=1.,
                            precision="float32", layout="channels_last")
    learn, history, _ = fit_photos(split_photos(table), store, config=config, run=run, resume=resume)
    Path(out).write_text(json.dumps([_weights_hash(learn.model), history.round(9).fillna(-1).to_dict("list")]))
