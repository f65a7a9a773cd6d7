"Reports on splits of which nothing is held out, or that came with the photos."
import pandas as pd
import pytest

from fishlearn.data.health import decode_all
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.copies import find_copies
from fishlearn.splits.leaking_pairs import _candidate_rows
from fishlearn.splits.leaks import compare_splits, leak_report, leaks_summary
from fishlearn.splits.split import split_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    home = tmp_path_factory.mktemp("fish")
    truth = sample_fish(home, per_species=2, copies=2, size=96)
    table, decoded = decode_all(pd.DataFrame(dict(path=f"{home.as_posix()}/" + truth.path, label=truth.label)))
    return table, decoded, find_copies(table, frames=True, decoded=decoded)


def test_nothing_held_out(photos):
    table, decoded, copies = photos
    report = leak_report(table.assign(split="train"), copies, decoded)
    assert report.shortcuts.empty and report.photos == {} and leaks_summary(report) == []


def test_scenes_lie_on_one_side_of_a_split_by_copies(photos):
    table, _, copies = photos
    random = _candidate_rows(split_photos(table, by="random"), copies)
    assert random.groupby("scene").held.nunique().eq(2).all()
    assert _candidate_rows(split_photos(copies.table), copies).empty


def test_one_trained_species_has_no_shortcuts(photos):
    table, decoded, copies = photos
    cod = table.label == table.label[0]
    one = table.assign(split=["train" if c else "valid" for c in cod])
    assert leak_report(one, copies, decoded).shortcuts.empty


def test_split_that_came_with_the_photos(photos):
    table, decoded, _ = photos
    given = split_photos(table, by="random")
    reports = compare_splits(find_copies(given, frames=True, decoded=decoded), decoded)
    assert list(reports) == ["as it came", "at random", "by copies"]
    assert len(reports["as it came"].copied) and not len(reports["by copies"].copied)
