"A split keeps groups whole, meets its fractions, and depends on nothing but the photos and the seed."
import hashlib
import time

import numpy as np
import pandas as pd
import pytest

from fishlearn.data.table import species_counts
from fishlearn.errors import ArgumentError, JobError
from fishlearn.splits.draw import _draw_order, _draw_side, _split_units, _take_smallest, _take_units
from fishlearn.splits.earlier import _earlier_sides, _known_sides
from fishlearn.splits.split import _check_species, _not_evaluated, _split_kind, cap_species, split_photos, split_summary


def rows(label, group=None, split=None):
    "A photo table."
    path = [f"{i}.jpg" for i in range(len(label))]
    return pd.DataFrame(dict(path=path, label=label, group=group, split=split, status="ok", reason=""))


def draw_tracks(seed):
    "Thirty species whose tracks have one to fifteen frames."
    rng = np.random.default_rng(seed)
    tracks = pd.DataFrame([(f"species {s:02}", f"track {s}-{t}") for s in range(30) for t in range(4 + 2 * s)])
    tracks = tracks.loc[tracks.index.repeat(rng.integers(1, 16, len(tracks)))]
    return rows(tracks[0].tolist(), tracks[1].tolist())


TABLE = rows(["cod"] * 40 + ["ling"] * 40, [f"g{i // 4}" for i in range(80)])


def sides(table, **kwargs): return split_photos(table, **kwargs).set_index("path").split.sort_index()


@pytest.mark.parametrize("seed", range(20))
def test_huge_group_is_not_taken(seed):
    counts = np.array([[100, 0], [1, 0], [0, 5], [0, 5], [0, 5], [0, 5], [0, 5]])
    counts = np.random.default_rng(seed).permutation(counts)
    held = counts[_take_units(counts, .2 * counts.sum(0), (counts > 0).sum(0) - 1)]
    assert (held[:, 0].max(), held[:, 1].sum()) == (1, 5)


def test_rare_species_weigh_more():
    counts = np.array([[5, 1], [95, 0], [0, 4]])
    assert _take_units(counts, np.array([2, 1]), np.array([1, 1])).tolist() == [True, False, False]


def test_fraction_is_met_closely():
    counts = np.random.default_rng(0).integers(1, 9, (60, 1))
    taken = _take_units(counts, .2 * counts.sum(0), np.array([59]))
    assert counts[taken].sum() / counts.sum() == pytest.approx(.2, abs=.02)


def test_last_unit_is_not_taken():
    lumps, none = np.array([[30, 0], [20, 0], [0, 50]]), np.zeros(3, bool)
    assert _take_smallest(lumps, none.copy(), np.array([1, 0]), species=0).tolist() == [False, True, False]
    assert not _take_smallest(lumps, none.copy(), np.array([1, 0]), species=1).any()


@pytest.mark.parametrize("seed", range(20))
def test_mixed_group_moves_as_a_whole(seed):
    mixed = rows(["cod", "cod", "cod", "ling", "ling"], list("abccd"))
    free, order = pd.Series(None, mixed.index, object), _draw_order(mixed, mixed.group, seed)
    held = _draw_side(species_counts(mixed), mixed.group, free, "valid", .4, order) == "valid"
    assert held.groupby(mixed.group).nunique().max() == 1 and set(mixed.label[~held]) == {"cod", "ling"}


@pytest.mark.parametrize("before, after", [([None, None], ["valid", None]), (["train", None], ["train", "valid"])])
def test_species_of_two_units_gives_one(before, after):
    cod = rows(["cod", "cod"], list("ab"))
    side = pd.Series(before, dtype=object)
    assert _draw_side(species_counts(cod), cod.group, side, "valid", .1, pd.Index(["a", "b"])).tolist() == after


def test_order_depends_on_checksums_only():
    table = rows(["cod"] * 6, ["a", "a", "b", "c", "d", None]).assign(sha256=list("uvwxyz"))
    units, order = _split_units(table), ["b", "c", "a", "d", "photo 5"]
    for other in (table, table[::-1], table.assign(path="elsewhere/" + table.path)):
        assert _draw_order(other, units, "valid 0").tolist() == order
    assert _draw_order(table, units, "valid 1").tolist() != order


def test_fractions_and_groups():
    cut = split_photos(TABLE, valid=.2, test=.2)
    assert cut.groupby("group").split.nunique().max() == 1
    assert set(cut.groupby(["label", "split"]).size()) == {8, 24}
    assert split_photos(TABLE, by="random").groupby("group").split.nunique().max() == 2


def test_seed_moves_validation_only():
    one, two = (sides(TABLE, test=.2, seed=seed) for seed in (1, 2))
    assert ((one == "test") == (two == "test")).all() and ((one == "valid") != (two == "valid")).any()
    assert ((sides(TABLE, valid=.1, test=.2) == "test") == (one == "test")).all()
    assert sides(TABLE.sample(frac=1, random_state=3), test=.2, seed=1).equals(one)


def test_files_with_checksums_may_move():
    known = TABLE.assign(sha256=[hashlib.sha256(p.encode()).hexdigest() for p in TABLE.path])
    moved = known.assign(path=[f"/elsewhere/IMG_{i}.jpg" for i in range(80)][::-1])
    assert split_photos(moved).split.tolist() == split_photos(known).split.tolist()


@pytest.mark.parametrize("seed", range(10))
def test_earlier_split_is_kept(seed):
    "New photos of an old track follow it; the fractions are met as nearly as that allows."
    tracks = draw_tracks(seed)
    names = pd.Series(tracks.group.unique()).sample(frac=.2, random_state=seed)
    new = tracks.group.isin(names[::2]) | (tracks.group.isin(names[1::2]) & tracks.group.duplicated())
    fewer = tracks[~new]
    earlier = split_photos(fewer, test=.1).assign(path=fewer.path.tolist())[["path", "split"]]
    grown = split_photos(tracks, test=.1, previous_split=earlier, seed=seed)
    assert grown.set_index("path").split[earlier.path].tolist() == earlier.split.tolist()
    assert grown.groupby("group").split.nunique().max() == 1
    assert grown.split.value_counts(normalize=True)[["test", "valid"]].tolist() == pytest.approx([.1, .2], abs=.03)
    again = split_photos(grown, by="copies", test=.1, previous_split=earlier, seed=seed)
    assert again.split.tolist() == grown.split.tolist()
    with pytest.raises(ArgumentError, match="come with a split, which is kept"):
        split_photos(grown, previous_split=earlier)


NOW = pd.DataFrame(dict(path=list("abcdef"), group=["g", "g", "h", "h", "h", None], sha256=list("123456")))
BEFORE = pd.DataFrame(dict(path=list("acdx"), split=["test", "valid", "train", "train"]))


def test_earlier_sides():
    assert _known_sides(NOW, _split_units(NOW), BEFORE).tolist() == ["test", "test", "valid", "train", "train", None]
    moved = BEFORE.assign(path="old/" + BEFORE.path, sha256=list("1349"))
    assert _earlier_sides(NOW, moved).tolist() == ["test", None, "valid", "train", None, None]


def test_identical_files_on_two_sides():
    both = pd.DataFrame(dict(path=["a", "b", "c"], split=["test", "train", "valid"], sha256=["1", "1", "3"]))
    same = pd.DataFrame(dict(path=["a", "b", "new"], sha256="1"))
    assert _earlier_sides(same, both).tolist() == ["test", "train", "train"]


@pytest.mark.parametrize("previous, message", [
    (BEFORE.assign(path="old/" + BEFORE.path), r"None of the 6 photos is in the earlier table \(compared by path\)"),
    (BEFORE[["path"]], "There is no column 'split'"), (BEFORE.assign(split="holdout"), "There is no split 'holdout'")])
def test_wrong_earlier_tables(previous, message):
    with pytest.raises(ArgumentError, match=message): _earlier_sides(NOW, previous)


def test_kinds_of_split():
    grouped = rows(["cod", "ling"], ["a", "b"])
    alone, given = grouped.assign(group=None), grouped.assign(split="train")
    assert [_split_kind(t) for t in (grouped, alone, given)] == ["copies", "copies", "given"]
    assert [_split_kind(grouped, by) for by in ("random", "group")] == ["random", "group"]
    for table, by, message in ((grouped, "date", "write one of: given, copies, group, random"),
                               (grouped, "given", "come without a split"), (alone, "group", "come without groups")):
        with pytest.raises(ArgumentError, match=message): _split_kind(table, by)


def test_split_that_came_with_the_photos():
    given = ["valid", "train"] * 40
    assert split_photos(TABLE.assign(split=given)).split.tolist() == given
    half = split_photos(TABLE.assign(split=["valid", "train", None, "train"] * 20))
    assert (half.status == "unsplit").sum() == 20


def test_rows_not_in_use():
    cut = split_photos(TABLE.assign(status=["unreadable"] + ["ok"] * 79))
    assert cut.split[0] is None and cut.split.notna().sum() == 79


def test_bad_fractions():
    assert set(split_photos(TABLE, valid=0).split) == {"train"}
    for valid, test in ((.8, .3), (-.1, 0), (1, 0)):
        with pytest.raises(ArgumentError, match="leave something to train on"): split_photos(TABLE, valid, test)


def test_many_photos():
    "A hundred thousand photos are split in less than a minute."
    rng = np.random.default_rng(0)
    label = [f"species {i}" for i in rng.integers(0, 100, 100_000)]
    many = rows(label, [f"{name}, track {i}" for name, i in zip(label, rng.integers(0, 200, 100_000))])
    start = time.perf_counter()
    counts = split_photos(many, test=.1).split.value_counts(normalize=True)
    assert time.perf_counter() - start < 60
    assert counts[["test", "valid"]].tolist() == pytest.approx([.1, .2], abs=.002)


@pytest.mark.parametrize("seed", range(5))
def test_species_that_cannot_be_evaluated(seed):
    eel = rows(["eel"] * 50, "one eel").assign(path=[f"e{i}.jpg" for i in range(50)])
    table = pd.concat([TABLE, eel], ignore_index=True)
    cut = split_photos(table, test=.1, seed=seed)
    assert _not_evaluated(cut) == ["eel"] and set(cut.split[cut.label == "eel"]) == {"train"}
    assert _not_evaluated(split_photos(table, by="random")) == []
    two = pd.concat([table, eel[-3:].assign(path=list("xyz"), group="another eel")], ignore_index=True)
    assert set(split_photos(two).query("split == 'valid' and label == 'eel'").group) == {"another eel"}


def test_summary():
    cut = pd.DataFrame(dict(label=["cod", "cod", "eel"], split=["train", "valid", "train"]))
    assert split_summary(cut) == ("split (copies): 2 train, 1 valid\n"
                                  "  used for training but not evaluated, too few photos or groups: eel")
    assert split_summary(cut[:1]).startswith("all photos are used for training")


def test_cap():
    groups = ["one boat"] * 80 + list("abcdefghij") + [None] * 10
    many = rows(["cod"] * 90 + ["ling"] * 10, groups).sample(frac=1, random_state=0)
    kept = cap_species(many, 20).query("status == 'ok'")
    assert kept.label.value_counts().to_dict() == {"cod": 20, "ling": 10}
    assert kept.group[kept.label == "cod"].value_counts().iloc[:2].tolist() == [10, 1]
    assert set(cap_species(many[::-1], 20).query("status == 'ok'").path) == set(kept.path)
    assert set(cap_species(many, 20, seed=1).query("status == 'ok'").path) != set(kept.path)
    given = many.assign(split=["train"] * 50 + ["test"] * 50)
    capped = cap_species(given, 10, given=True).query("status == 'ok'")
    assert capped.split.eq("test").sum() == 50 and capped[capped.split == "train"].label.value_counts().max() == 10
    with pytest.raises(ArgumentError, match="must be a whole number from 1, not 0"): cap_species(many, 0)


@pytest.mark.parametrize("table, message", [
    (TABLE[:40], "one species, 'cod'"),
    (TABLE.assign(status="unreadable", reason="file not found"), "None of the 80 photos can be used")])
def test_too_few_species(table, message):
    with pytest.raises(JobError, match=message): _check_species(table)
