"Folds hold the same fraction of every species, keep groups whole, and depend on the photos and the seed only."
import warnings

import numpy as np
import pandas as pd
import pytest

from fishlearn.data.table import species_counts
from fishlearn.errors import ArgumentError
from fishlearn.splits.folds import fold_photos, fold_split, folds_summary
from fishlearn.splits.split import split_photos

TABLE = pd.DataFrame(dict(
    path=[f"{i}.jpg" for i in range(120)], label=["cod"] * 80 + ["ling"] * 40, group=[f"g{i // 4}" for i in range(120)],
    split=None, status="ok", reason=""))


def test_order_of_rows_does_not_matter():
    by_path = lambda table: fold_photos(table).groupby(table.path).first()
    assert by_path(TABLE.sample(frac=1, random_state=1)).equals(by_path(TABLE))
    assert (fold_photos(TABLE, seed=1) != fold_photos(TABLE)).any()


def test_random_folds_ignore_groups():
    assert fold_photos(TABLE, by="random").groupby(TABLE.group).nunique().max() > 1


def test_rows_in_no_fold():
    bad = fold_photos(TABLE.assign(status=["unreadable"] + ["ok"] * 119))
    assert bad[0] is None and bad.notna().sum() == 119
    locked = split_photos(TABLE, test=.2)
    folds = fold_photos(locked)
    assert folds.isna().tolist() == (locked.split == "test").tolist()
    assert (fold_split(locked, folds, 0).split == "test").tolist() == (locked.split == "test").tolist()


@pytest.mark.parametrize("table, k, by, message", [
    (TABLE, 1, "copies", "must be a whole number from 2, not 1"),
    (TABLE, 31, "copies", "30 groups or photos cannot be divided into 31 folds"),
    (TABLE[::20].assign(label=list("aabbcc")), 3, "copies", "No species has 3 photos, one for each fold"),
    (TABLE.assign(group=None), 5, "group", "come without groups")])
def test_folds_that_cannot_be_made(table, k, by, message):
    with pytest.raises(ArgumentError, match=message): fold_photos(table, k, by=by)


def test_fold_out_of_range():
    with pytest.raises(ArgumentError, match="There is no fold 5; write a number from 0 to 4"):
        fold_split(TABLE, fold_photos(TABLE), 5)


def test_trips_with_several_species():
    rng, names = np.random.default_rng(0), np.array(["cod", "hake", "ling", "pollack", "saithe"])
    label = [" ‖ ".join(sorted(rng.choice(names, rng.integers(1, 4), replace=False))) for _ in range(300)]
    trips = pd.DataFrame(dict(
        path=[f"{i}.jpg" for i in range(300)], label=label, group=[f"trip {i}" for i in rng.integers(0, 40, 300)],
        split=None, status="ok", reason=""))
    folds, counts = fold_photos(trips), species_counts(trips)
    assert folds.groupby(trips.group).nunique().max() == 1
    fractions = (counts.groupby(folds).sum() / counts.sum()).to_numpy()
    assert fractions.min() > .1 and fractions.max() < .3


def test_no_warning_about_rare_species():
    eel = TABLE[:9].assign(path=[f"e{i}.jpg" for i in range(9)], label="eel", group="one eel")
    table = pd.concat([TABLE, eel], ignore_index=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "all in one fold: eel" in folds_summary(table, fold_photos(table))
    assert folds_summary(TABLE, fold_photos(TABLE)) == "5 folds of 24 to 24 photos"
