"Folders below the species are recognized, or the way out is named."
import re

import pytest
from PIL import Image

from fishlearn.data.folders import from_folder, from_name_re


def make(folder, *places):
    for i, place in enumerate(places):
        (folder / place).mkdir(parents=True, exist_ok=True)
        Image.new("L", (9, 9), i).save(folder / place / f"{i}.jpg")


@pytest.mark.parametrize("below", [
    ("4", "7"), ("site 1", "site 2"), ("Site_A", "Site_B"), ("2019-06-01", "2020-07-02"), ("images", "images"), ("cam1", "cam2"),
    ("100CANON", "101CANON"), ("IMG/1", "IMG/2"), ("Trip 3/images", "Trip 4/images"), ("may_2019", "Jun 2020"), ("07", "photos")])
def test_places_and_dates_below_species(tmp_path, below):
    make(tmp_path, *(f"{species}/{place}" for species in ("Puma", "Guan") for place in below))
    table = from_folder(tmp_path)
    assert set(table.label) == {"Puma", "Guan"}
    note, = table.attrs["notes"]
    assert "are taken for parts of the species above them (Guan, Puma)" in note
    pattern = re.search("--label-re '(.+)'", note)[1]
    assert set(from_name_re(tmp_path, pattern).label) == {b.split("/")[-1] for b in below}


@pytest.mark.parametrize("below", [("night", "day"), ("juvenile", "adult"), ("Lago Azul", "Rio Negro")])
def test_other_folders_below_species_are_doubted(tmp_path, below):
    make(tmp_path, *(f"{species}/{place}" for species in ("Puma", "Guan") for place in below))
    table = from_folder(tmp_path)
    assert set(table.label) == set(below)
    pattern = re.search("--label-re '(.+)'", " ".join(table.attrs["notes"]))[1]
    assert set(from_name_re(tmp_path, pattern).label) == {"Puma", "Guan"}


def test_a_species_in_a_species(tmp_path):
    make(tmp_path, "Puma", "Puma/juvenile", "Guan")
    table = from_folder(tmp_path)
    assert "lie in folders that have photos of their own (Puma)" in table.attrs["notes"][0]


@pytest.mark.parametrize("places, labels", [
    (("1", "2"), {"1", "2"}),                                       # numbers are species if there is nothing above
    (("birds/1", "birds/2"), {"1", "2"}),                           # or only one name
    (("site 1/Puma", "site 2/Puma", "site 2/Guan"), {"Puma", "Guan"}),
    (("train/Puma/4", "valid/Puma/7", "train/Guan/4"), {"Puma", "Guan"}),
    (("images/Puma", "images/Guan"), {"Puma", "Guan"})])
def test_species_are_kept(tmp_path, places, labels):
    make(tmp_path, *places)
    assert set(from_folder(tmp_path).label) == labels


def test_photos_in_images_alone_have_no_species(tmp_path):
    make(tmp_path, "images")
    assert from_folder(tmp_path).status.tolist() == ["unlabelled"]
