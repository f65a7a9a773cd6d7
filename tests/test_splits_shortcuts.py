"Shortcuts see the border and nothing else of a photo, and are reported only if they beat chance clearly."
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fishlearn.data.health import Decoded
from fishlearn.data.preprocessing import Preprocessing, _pad
from fishlearn.errors import ArgumentError, JobError
from fishlearn.splits.shortcuts import (
    _beats_chance,
    _border_features,
    _border_features_of,
    _by_category,
    _by_size,
    _category_summary,
    _sample_rows,
    _train_and_held,
    measure_shortcuts,
)

NOISE = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
SHADES = np.repeat(np.array([40, 60, 180, 200], np.uint8), 32 * 32 * 3).reshape(4, 32, 32, 3)
TABLE = pd.DataFrame(dict(
    path=list("abcdef"), label=["cod", "cod", "ling", "ling", "eel", "cod ‖ ling"],
    status=["ok"] * 5 + ["unreadable"], split=["train", "valid", "train", "test", "valid", "train"],
    format=["JPEG", "JPEG", "PNG", "PNG", "PNG", None], mode="RGB", width=80, height=[60, 60, 80, 80, 80, None],
    camera=None))


def test_only_the_border_is_seen():
    middle, one_more = NOISE.copy(), NOISE.copy()
    middle[:, 4:-4, 4:-4] = 0
    one_more[:, 3:-4, 4:-4] = 0
    features = _border_features(NOISE)
    assert (_border_features(middle) == features).all()
    assert (_border_features(one_more) != features).any(axis=1).all()
    assert (features ** 2).sum(1) == pytest.approx(np.ones(5))


@pytest.mark.parametrize("change", [lambda x: x[:, :, ::-1], lambda x: np.rot90(x, axes=(1, 2))])
def test_flipped_and_rotated_copies_look_the_same(change):
    assert (_border_features(change(NOISE)) == _border_features(NOISE)).all()


@pytest.mark.parametrize("width", [0, 32])
def test_border_without_a_middle(width):
    with pytest.raises(ArgumentError, match="leaves no middle in photos of 64 px"): _border_features(NOISE, width)


def test_padding_is_not_a_border():
    own = {p: _pad(Image.fromarray(s), (32, 64)) for p, s in zip("abcd", SHADES)}
    padded = Decoded({}, Preprocessing((32, 64), "pad"), dict.fromkeys("abcd", 1), own)
    assert (_border_features_of(pd.Series(["b", "d"]), padded) == _border_features(SHADES[[1, 3]])).all()


def test_which_photos_count():
    train, held = _train_and_held(TABLE)
    assert (train.path.tolist(), held.path.tolist()) == (["a", "c"], ["b", "d"])


@pytest.mark.parametrize("table, error, message", [
    (TABLE.assign(split="train"), JobError, "No photo of a trained species is held out"),
    (TABLE[TABLE.label == "cod"], JobError, "one species, 'cod'"),
    (TABLE.drop(columns="camera"), ArgumentError, "no column 'camera'")])
def test_tables_without_shortcuts(table, error, message):
    with pytest.raises(error, match=message): _train_and_held(table)


def test_new_categories_and_equal_sizes():
    train, held = _train_and_held(TABLE)
    assert _by_category(train, held, TABLE.path).tolist() == ["cod", "cod"]
    boards = pd.DataFrame(dict(label=["cod"] * 10 + ["ling"] * 20, width=100, height=80))
    assert _by_size(boards, boards[:3]).tolist() == ["ling"] * 3


def test_sample_keeps_every_species():
    reef = pd.DataFrame(dict(path=[f"{i}.jpg" for i in range(1000)], label=["cod"] * 999 + ["eel"]))
    for seed in range(5): assert _sample_rows(reef, 100, seed).label.value_counts().to_dict() == dict(cod=99, eel=1)
    assert sorted(_sample_rows(reef).path) == sorted(reef.path)


def test_columns():
    found = measure_shortcuts(TABLE, Decoded({}, Preprocessing(32), own=dict(zip("abcd", SHADES))))
    assert found.columns.tolist() == ["shortcut", "accuracy", "balanced_accuracy", "chance", "n", "used"]
    assert (found.accuracy.tolist(), set(found.chance), set(found.n)) == ([1, .5, 1, .5], {.5}, {2})


def test_several_species_per_photo():
    "A photo of several species needs exactly its species."
    both = TABLE.assign(label=TABLE.label.where(TABLE.label != "cod", "cod ‖ hake"))
    decoded = Decoded({}, Preprocessing(32), own=dict(zip("abcd", SHADES)))
    assert measure_shortcuts(both, decoded).accuracy.tolist() == measure_shortcuts(TABLE, decoded).accuracy.tolist()


@pytest.mark.parametrize("kinds, text", [(["JPEG RGB"] * 3, "JPEG RGB in every photo"),
                                         (list("abbcd"), "4 kinds: b, a, c, …")])
def test_categories_in_words(kinds, text):
    assert _category_summary(pd.Series(kinds)) == text


@pytest.mark.parametrize("accuracy, n, chance, reported", [
    (.6, 100, .1, True), (.2, 20, .1, False), (.2, 200, .1, False), (.2, 20_000, .1, True), (.55, 100_000, .52, False)])
def test_what_is_reported(accuracy, n, chance, reported):
    assert _beats_chance(accuracy, n, chance) == reported
