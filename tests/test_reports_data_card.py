"Data cards: text of users stays text, and every statement about copies agrees."
from pathlib import Path

import pandas as pd
import pytest

from fishlearn.data.health import check_photos
from fishlearn.errors import JobError
from fishlearn.reports.card_page import _accepted_pairs, _readable_table
from fishlearn.reports.data_card import data_card
from fishlearn.samples.fish import sample_fish

KEYS = ["photos", "left_out", "species", "imbalance", "several_species", "too_few_to_judge", "similar_names", "width",
        "height", "aspect_ratio", "megabytes", "formats", "modes", "masks", "sets", "groups", "splits", "notes",
        "passed_over", "vanished_species", "per_species", "health", "fishlearn"]


@pytest.fixture(scope="module")
def fish(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "fish"
    sample_fish(folder, per_species=[6, 4, 3, 0, 0, 0, 0, 0, 0], size=64, copies=1)
    return folder


def test_markup_in_names_is_shown_as_text(fish, tmp_path):
    evil = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    evil.write_bytes(b"no photo")
    paths = [*map(str, sorted(fish.rglob("*.jpg"))), str(evil)]
    labels = ["<script>alert('$x_{$')</script>"] * (len(paths) - 3) + ["<b>cod</b>"] * 3
    page = data_card(pd.DataFrame(dict(path=paths, label=labels))).to_html()
    for markup in ("<script", "<b>", "<img src=x"): assert markup not in page
    for text in ("&lt;script&gt;", "&lt;b&gt;cod&lt;/b&gt;", "&lt;img src=x onerror=alert(1)&gt;.jpg"):
        assert text in page


def test_a_page_needs_no_other_file(fish):
    assert "http" not in data_card(fish).to_html()


def test_facts_have_the_same_keys_in_the_same_order(fish):
    assert list(data_card(fish).facts) == [*KEYS, "copies", "leaks", "contradictions"]
    assert list(data_card(check_photos(fish)).facts) == KEYS


def test_the_chart_counts_what_the_sentences_count(fish):
    copies = data_card(fish).copies
    copies.compared.loc[len(copies.compared)] = [.99, "another frame"]  # alike, but never accepted
    shown = _accepted_pairs(copies).compared
    assert (shown.similarity.astype(float) >= copies.threshold).sum() == len(copies.pairs)


def test_paths_alone_may_break_anywhere(fish):
    (fish / "Delineops altus" / "broken.jpg").write_bytes(b"")
    page = data_card(fish).to_html()
    (fish / "Delineops altus" / "broken.jpg").unlink()
    assert page.count("anywhere") == 1 and page.count('class="path"') == 1


def test_tables_are_for_people():
    table = pd.DataFrame(dict(judged=[True, False], lowest_recall=[.5, float("nan")], photos=[1, 2]))
    shown = _readable_table(table)
    assert shown.columns.tolist() == ["enough to evaluate", "lowest possible recall", "photos"]
    assert shown.values.tolist() == [["yes", "0.50", "1"], ["no", "", "2"]]


def test_a_table_of_two_columns_is_enough(fish):
    photos = sorted(fish.rglob("*.jpg"))[:4]
    assert data_card(pd.DataFrame(dict(path=photos, label="cod"))).facts["species"] == 1


def test_no_usable_photo_is_an_error(tmp_path):
    Path(tmp_path, "a.jpg").write_bytes(b"")
    with pytest.raises(JobError, match="None of the 1 photos can be used"):
        data_card(pd.DataFrame(dict(path=[str(tmp_path / "a.jpg")], label="cod")))
