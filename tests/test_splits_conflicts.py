"Copies with different labels are listed and left out, in training, checking and evaluation."
import json

import pandas as pd
import pytest
from PIL import Image

from fishlearn.core import train_species_model
from fishlearn.reports.data_card import audit_photos, data_card
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.conflicts import conflict_table, leave_out_conflicts
from fishlearn.splits.copies import find_copies


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("conflicts") / "fish"
    sample_fish(folder, per_species=[8, 8, 8, 0, 0, 0, 0, 0, 0], size=96)
    a, b, c = sorted(p for p in folder.iterdir() if p.is_dir() and any(p.iterdir()))[:3]
    (b / "same.jpg").write_bytes((a / "00001.jpg").read_bytes())
    Image.open(a / "00002.jpg").resize((80, 80)).rotate(90).save(c / "turned.jpg", quality=80)
    (a / "twin.jpg").write_bytes((a / "00003.jpg").read_bytes())  # under one label: no contradiction
    return folder


WRONG = {"same.jpg", "turned.jpg", "00001.jpg", "00002.jpg"}


def names(table): return {p.rsplit("/", 1)[-1] for p in table.path}


def test_all_are_listed(folder):
    copies = find_copies(folder)
    found = conflict_table(copies)
    assert names(found) == WRONG and len(found) == 4 and (found.label != found.copy_label).all()
    left = leave_out_conflicts(copies.table, copies)
    out = left[left.status == "contradictory"]
    assert names(out) == WRONG and out.reason.str.startswith("a copy has another label: ").all()


def test_the_data_card_has_them(folder):
    card = data_card(*audit_photos(folder))
    assert len(json.loads(card.to_json())["contradictions"]) == 4
    assert "4 photos are left out because a copy has another label" in card.to_html()
    assert (card.table.status == "contradictory").sum() == 4


@pytest.mark.parametrize("conflicts, out", [("leave_out", 4), ("keep", 0)])
def test_training_and_evaluation_leave_them_out(folder, conflicts, out):
    model = train_species_model(folder, recipe="probe", size=64, conflicts=conflicts)
    assert (model.photos.status == "contradictory").sum() == out
    evaluation = model.evaluate(folder, conflicts=conflicts)
    assert len(evaluation.paths) == 27 - out


def test_parts_of_one_photo_are_no_copies(folder):
    file = next(folder.rglob("00001.jpg")).as_posix()
    table = pd.DataFrame(dict(path=[f"{file}#xywh=0,0,90,90", f"{file}#xywh=4,4,90,90"], label=["cod", "ling"]))
    from fishlearn.data.tables import from_df
    assert conflict_table(find_copies(from_df(table))).empty


def test_other_spellings_are_the_species_of_the_model(folder, tmp_path, caplog):
    model = train_species_model(folder, recipe="probe", size=64)
    table = pd.DataFrame(dict(path=[str(p) for p in folder.rglob("0000[4-8].jpg")]))
    table["label"] = [p.split("/")[-2].upper().replace(" ", "_") for p in table.path]
    assert set(model.evaluate(table).actual) == set(model.classes)
