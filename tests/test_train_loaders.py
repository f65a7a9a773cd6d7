"Loaders: how photos reach fastai, and what happens when some of them break."
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from fastcore.test import test_close as assert_close

from fishlearn.data.folders import from_folder
from fishlearn.data.preprocessing import Preprocessing
from fishlearn.errors import JobError
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.split import split_photos
from fishlearn.train.loaders import PhotoStore, _OpenPhoto, _remaining_loaders, decode_photos, species_loaders


@pytest.fixture
def fish(tmp_path, monkeypatch):
    "Checked photos of drawn fish, their store and their classes, in a folder of their own."
    monkeypatch.chdir(tmp_path)
    sample_fish("fish", per_species=6, size=96, broken=2)
    photos, store = decode_photos(from_folder("fish"), 64)
    return photos, store, sorted(photos.label.unique())


def usable(photos): return photos.path[photos.status == "ok"].tolist()


def test_store(fish):
    photos, store, _ = fish
    good, padded = usable(photos)[0], Preprocessing((32, 64), "pad")
    assert PhotoStore.empty(32).open(good).size == (32, 32)
    assert (np.asarray(PhotoStore.empty(padded).open(good)) == padded.pixels(good)).all()
    assert (np.asarray(store.open(good)) == store.preprocessing.pixels(good)).all()
    assert _OpenPhoto(store)(good).size == (64, 64)
    assert photos.sha256[photos.path == good].item() == hashlib.sha256(Path(good).read_bytes()).hexdigest()


def test_pickled_store_leaves_pixels_out(fish): assert len(pickle.dumps(fish[1])) < 10_000


def test_few_lost_photos_are_left_out_and_many_stop(fish):
    photos = fish[0]
    assert (photos.status == "unreadable").sum() == 2
    for p in usable(photos)[:2]: Path(p).unlink()
    photos, _ = decode_photos(photos, 64)
    assert (photos.status == "missing").sum() == 2
    for p in usable(photos)[:30]: Path(p).unlink()
    for rows in (photos, photos.iloc[::-1]):
        with pytest.raises(JobError, match="30 of 50 photos"): decode_photos(rows, 64)


def test_numbers_of_photos(fish):
    photos, store, classes = fish
    photos = split_photos(photos, valid=.25)
    dls = species_loaders(photos, store, classes, bs=16)
    assert (dls.train.n, dls.valid.n) == ((photos.split == "train").sum(), (photos.split == "valid").sum())
    few = species_loaders(photos[photos.status == "ok"].assign(split="train").iloc[:5], store, classes, bs=32)
    assert (len(few.train), len(few.valid), len(few.test_dl(usable(photos)[:1]))) == (1, 0, 1)


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_path_row_and_image_agree(fish, resize):
    photos, _, classes = fish
    row = photos[photos.status == "ok"].iloc[:1]
    good, preprocessing = row.path.item(), Preprocessing((64, 96), resize)
    _, store = decode_photos(row, preprocessing)
    dls = species_loaders(row.assign(split="train"), store, classes)
    first, *others = [dls.test_dl(i).one_batch()[0] for i in ([good], row, [store.open(good)])]
    assert first.shape == (1, 3, 64, 96)
    for x in others: assert_close(x, first)
    assert_close(_remaining_loaders(None, preprocessing, classes).test_dl([good]).one_batch()[0], first)


def test_photos_that_break_later_are_skipped(fish):
    photos, _, classes = fish
    photos = split_photos(photos, valid=.25)
    train = photos[photos.split == "train"]
    dls = _remaining_loaders(photos, 64, classes)
    assert dls.train.n == len(train)
    gone, cut = train.path.iloc[[0, 5]]
    Path(gone).unlink()
    Path(cut).write_bytes(Path(cut).read_bytes()[:500])
    assert sum(len(y) for _, y in dls.test_dl(train, with_labels=True)) == len(train) - 2
