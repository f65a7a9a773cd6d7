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


@pytest.mark.parametrize("places", [
    ("Puma/DCIM/100GOPRO", "Guan/DCIM/101GOPRO"), ("Puma/DCIM/100CANON", "Guan/DCIM/100GOPRO"), ("Puma/100EK113", "Guan/100_BTCF"), ("Puma/100ND750", "Guan"),
    ("Puma", "Guan/New folder"), ("Puma", "Guan/New folder (2)"), ("Puma/photos (2)", "Guan/images - Copy"), ("Puma/Photos from 2019", "Guan/Photos from 2020"),
    ("Puma/train", "Guan/train"), ("Puma/train", "Guan/train", "Puma/valid", "Guan/valid"), ("a/Puma/images", "a/Guan/images"),
    ("train/Puma/images", "train/Guan/images", "val/Puma/images"), ("Puma/dataset/1", "Guan")])
def test_species_above(tmp_path, places):
    make(tmp_path, *places)
    assert set(from_folder(tmp_path).label) == {"Puma", "Guan"}


@pytest.mark.parametrize("places, labels", [
    (("Puma/photos/2019 Lake", "Guan/photos/2020 River"), {"Puma", "Guan"}), (("Puma/left", "Guan/right"), {"Puma", "Guan"}),
    (("Puma/selected", "Puma/rejected", "Guan/selected"), {"Puma", "Guan"}), (("all/Puma/x/left", "all/Guan/x/right"), {"Puma", "Guan"}),
    (("Puma", "Guan/Lago Azul"), {"Puma", "Guan"}), (("train/Puma/left", "train/Guan/right", "val/Puma/left"), {"Puma", "Guan"}),
    (("x/Puma", "x/Puma/juvenile"), {"Puma"})])
def test_doubts_at_any_level(tmp_path, places, labels):
    "The pattern in the note finds the folders above those that count as species."
    make(tmp_path, *places)
    pattern = re.search("--label-re '(.+)'", " ".join(from_folder(tmp_path).attrs["notes"]))[1]
    assert set(from_name_re(tmp_path, pattern).label) == labels


@pytest.mark.parametrize("foreign", ["previews", "2019", "images", "site 4", "DCIM/100CANON", "2019/images", "train"])
@pytest.mark.parametrize("below", ["images", "site 1", "100CANON"])
def test_a_folder_beside_the_species_changes_no_species(tmp_path, foreign, below):
    make(tmp_path, f"Puma/{below}", f"Guan/{below}", foreign)
    table = from_folder(tmp_path)
    assert sorted(table.label.dropna()) == ["Guan", "Puma"]
    assert table.status.value_counts().to_dict() == {"ok": 2, "unlabelled": 1}


@pytest.mark.parametrize("places", [("data/images",), ("images/train", "images/val"), ("dataset/train", "dataset/valid"), ("train",), ("data (2)/photos",),
                                    ("animals/images", "animals/Puma", "animals/Guan")])
def test_contents_are_no_species(tmp_path, places):
    make(tmp_path, *places)
    assert not {"images", "train", "dataset", "data", "animals"} & set(from_folder(tmp_path).label)


@pytest.mark.parametrize("train, valid, test", [
    ("train_images", "valid_images", "test_images"), ("train2017", "val2017", "test2017"), ("01_train", "02_valid", "03_test"), ("train", "valid", "test1"),
    ("Training images", "Validation images", "Test images"), ("images_train", "images_val", "images_test"), ("obj_train_data", "obj_valid_data", "obj_test_data"),
    ("1. train", "2. val", "3. test"), ("trainval", "val", "test")])
def test_names_of_splits(tmp_path, train, valid, test):
    make(tmp_path, *(f"{s}/{species}" for s in (train, valid, test) for species in ("Puma", "Guan")))
    table = from_folder(tmp_path)
    assert set(table.label) == {"Puma", "Guan"} and "notes" not in table.attrs
    assert all({train: "train", valid: "valid", test: "test"}[p.split("/")[-3]] == s for p, s in zip(table.path, table.split))


def test_numbers_beside_words_are_kept(tmp_path):
    make(tmp_path, "Puma", "Guan", "4", "site 1")
    assert set(from_folder(tmp_path).label) == {"Puma", "Guan", "4", "site 1"}
