"Tables that were made elsewhere find their photos, and what they lack is said."
import unicodedata

import pandas as pd
import pytest
from PIL import Image

from fishlearn.data.health import check_photos
from fishlearn.data.photos import photo_table
from fishlearn.data.summary import photos_summary
from fishlearn.data.tables import from_csv, from_df
from fishlearn.errors import ArgumentError
from fishlearn.splits.split import split_photos


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "train").mkdir()
    for i in range(4): Image.new("RGB", (40, 30), (60 * i, 9, 9)).save(tmp_path / "train" / f"Döbel {i}.JPG", "JPEG")
    return tmp_path


def listed(folder, *paths, **columns):
    pd.DataFrame(dict(path=paths, label="cod") | columns).to_csv(folder / "labels.csv", index=False)
    return from_csv(folder / "labels.csv")


@pytest.mark.parametrize("path", [
    "Döbel 1.JPG", "Döbel 1", "train/döbel 1.jpg", "C:\\Users\\me\\photos\\train\\Döbel 1.JPG", "/home/me/train/Döbel 1.JPG", "./train/Döbel 1.JPG",
    unicodedata.normalize("NFD", "train/Döbel 1.JPG"), "TRAIN/DÖBEL 1.JPG", "images/Döbel 1"])
def test_written_differently(folder, path):
    table = listed(folder, path)
    assert table.path.tolist() == [(folder / "train" / "Döbel 1.JPG").as_posix()]
    assert ("are not written as the files are named" in photos_summary(table)) == (path != "./train/Döbel 1.JPG")


def test_of_two_files_of_one_name_none_is_guessed(folder):
    for place in ("a", "b"):
        (folder / place).mkdir()
        Image.new("L", (9, 9)).save(folder / place / "1.jpg")
    assert listed(folder, "1.jpg", "x/b/1.jpg").path.tolist() == [(folder / "1.jpg").as_posix(), (folder / "b/1.jpg").as_posix()]


def test_missing_files_and_addresses(folder):
    table = check_photos(listed(folder, "train/Döbel 9.JPG", "val/1.jpg", "https://example.org/1.jpg", "train/Döbel 0.JPG"))
    assert table.status.tolist() == ["missing", "missing", "address", "ok"]
    assert table.reason[0].startswith("file not found: the nearest is Döbel ") and table.reason[1].startswith("file not found: there is no folder")
    assert table.reason[2] == "is an address: download the photo first" and table.path[2] == "https://example.org/1.jpg"


@pytest.mark.parametrize("column, values, sides", [
    ("is_valid", [True, False, False, False], ["valid", "train", "train", "train"]), ("is_valid", ["1", "0", "0", "0"], ["valid", "train", "train", "train"]),
    ("is_test", ["yes", "no", "no", "no"], ["test", "train", "train", "train"]), ("is_train", [0, 1, 1, 1], ["valid", "train", "train", "train"]),
    ("split", ["Training set", "test_data", "val-split", "train"], ["train", "test", "valid", "train"]),
    ("split", ["train", "holdout", "dev", "Train"], ["train", "test", "valid", "train"]), ("Split", ["train", "val", "TEST", "train"], ["train", "valid", "test", "train"]),
    ("subset", ["train", "train", "valid", "test"], ["train", "train", "valid", "test"]), ("fold", [0, 1, 2, 3], [None] * 4)])
def test_splits_of_others(folder, column, values, sides):
    table = listed(folder, *(f"train/Döbel {i}.JPG" for i in range(4)), **{column: values})
    assert table.split.where(table.split.notna(), None).tolist() == sides
    assert bool(table.attrs.get("notes")) == (column not in ("split", "Split"))


def test_other_words_stop_a_split_unless_one_is_asked_for(folder):
    table = listed(folder, *(f"train/Döbel {i}.JPG" for i in range(4)), split=[0, 1, 2, 3])
    assert "names no split (train, valid, test) but 0, 1, 2, 3" in photos_summary(table)
    for by in (None, "given"):
        with pytest.raises(ArgumentError, match=r"rename these, or split anew with --split copies \(split='copies'\)"): split_photos(table, by=by)
    assert set(split_photos(table, by="random").split) == {"train", "valid"}


@pytest.mark.parametrize("columns", [
    {"filename": ["a.jpg"], "species": ["cod"]}, {"File Name": ["a.jpg"], "scientificName": ["cod"]}, {"PATH": ["a.jpg"], "Label": ["cod"]},
    {"image": ["a.jpg"], "class_name": ["cod"]}, {" img_path ": ["a.jpg"], "labels": ["cod"]}])
def test_columns_under_other_names(tmp_path, columns):
    pd.DataFrame(columns).to_csv(tmp_path / "t.csv", index=False)
    table = photo_table(tmp_path / "t.csv")
    assert (table.label[0], table.path[0]) == ("cod", (tmp_path / "a.jpg").as_posix())


def test_several_columns_that_may_be_the_path_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match="There is no column 'path'; write one of: file, image, label"):
        from_df(pd.DataFrame(dict(file=["a"], image=["b"], label="cod")))


def test_a_column_per_species(tmp_path):
    (tmp_path / "_classes.csv").write_text("filename, cod, ling\na.jpg, 1, 0\nb.jpg, 1, 1\nc.jpg, 0, 0\n")
    table = photo_table(tmp_path / "_classes.csv")
    assert table.label.tolist() == ["cod", "cod ‖ ling", None] and table.status[2] == "unlabelled"


def test_a_row_per_animal(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.jpg,cod\na.jpg,ling\nb.jpg,cod\na.jpg,cod\n")
    table = photo_table(tmp_path / "t.csv", label_delim=";")
    assert table[table.status == "ok"].set_index("path").label.tolist() == ["cod ‖ ling", "cod"]
    assert set(photo_table(tmp_path / "t.csv").status) == {"contradictory", "ok"}


def test_a_bar_in_a_name_is_no_list(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\na.jpg,Puma | Puma concolor\nb.jpg,Guan‖x\n")
    assert photo_table(tmp_path / "t.csv").label.tolist() == ["Puma | Puma concolor", "Guan||x"]
    assert photo_table(tmp_path / "t.csv", label_delim="|").label[0] == "Puma ‖ Puma concolor"


def test_names_that_look_the_same_are_one_species():
    names = ["Salmo trutta", "Salmo\xa0trutta", "Salmo trutta\u200b", "Salmo\u202ftrutta", "Salmo  trutta", "\ufeffSalmo trutta", "Sal\u00admo trutta",
             "Salmo\ttrutta", "Salmo\u3000trutta ", "Salmo\u200d trutta", "\u200eSalmo trutta", "Salmo trutta\ufe0f"]
    assert set(from_df(pd.DataFrame(dict(path=[f"{i}.jpg" for i in range(len(names))], label=names))).label) == {"Salmo trutta"}
    assert "These names may mean the same species: Salmo trutta, salmo_trutta." in photos_summary(
        from_df(pd.DataFrame(dict(path=["a", "b"], label=["Salmo trutta", "salmo_trutta"]))))


@pytest.fixture
def sites(tmp_path):
    "Two photos in `siteB`, one with a camera name, and one in no folder."
    (tmp_path / "siteB").mkdir()
    for i, name in enumerate(("siteB/IMG_0000.jpg", "siteB/a b.jpg", "IMG_0009.jpg")): Image.new("L", (9, 9), i).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("path, file", [
    ("siteA/IMG_0000.jpg", ""), ("C:\\me\\siteA\\IMG_0000.jpg", ""), ("2019/siteB/x/IMG_0000.jpg", ""), ("images/siteA/IMG_0000", ""),
    ("IMG_0000.jpg", "siteB/IMG_0000.jpg"), ("IMG_0000", "siteB/IMG_0000.jpg"), ("/old/disk/photos/siteB/IMG_0000.jpg", "siteB/IMG_0000.jpg"),
    ("C:\\me\\siteB\\IMG_0000.jpg", "siteB/IMG_0000.jpg"), ("photos/siteB/IMG_0000.jpg", "siteB/IMG_0000.jpg"), ("siteB/images/img_0000", "siteB/IMG_0000.jpg"),
    ("siteB/IMG_0000.jpg ", "siteB/IMG_0000.jpg"), ("siteB/IMG_0000.jpg\t", "siteB/IMG_0000.jpg"), ("siteB\\IMG_0000.jpg\xa0", "siteB/IMG_0000.jpg"),
    ("\u200bsiteB/IMG_0000.jpg\u200b", "siteB/IMG_0000.jpg"), ("IMG_0000.jpg ", "siteB/IMG_0000.jpg"), ("siteB/a%20b.jpg", "siteB/a b.jpg"),
    ("a%20b.jpg", "siteB/a b.jpg"), ("siteB/IMG_0000.jpg?1545", "siteB/IMG_0000.jpg"), ("siteA/a%20b.jpg", ""), ("/old/disk/IMG_0009.jpg", "IMG_0009.jpg")])
def test_another_folder_is_no_spelling(sites, path, file):
    table = from_df(pd.DataFrame(dict(path=[path], label="cod")), root=sites, search=True)
    assert (table.path[0] == (sites / file).as_posix()) == bool(file)
    assert (check_photos(table).status[0] == "ok") == bool(file)
    assert bool(table.attrs.get("notes")) == bool(file)


def test_a_file_is_not_given_to_two_different_paths(sites):
    "Photos of two sites that were copied into one folder, where the second replaced the first."
    paths = ["siteC/IMG_0009.jpg", "siteD/IMG_0009.jpg", "siteA/IMG_0000.jpg", "siteB/IMG_0000.jpg", "siteB/IMG_0000.jpg"]
    table = check_photos(listed(sites, *paths))
    assert table.status.tolist() == ["missing"] * 3 + ["ok", "repeated"]
    assert check_photos(listed(sites, "siteC/IMG_0009.jpg", "IMG_0009.jpg")).status.tolist() == ["missing", "ok"]
    assert check_photos(listed(sites, "siteC/IMG_0009.jpg", "siteC\\IMG_0009.jpg")).status.tolist() == ["ok", "repeated"]


@pytest.mark.parametrize("path", ["www.inaturalist.org/IMG_0000.jpg", "//cdn.x.org/IMG_0000.jpg", "static.inaturalist.org/photos/1/IMG_0009.jpg",
                                  "HTTPS://x.org/IMG_0009.jpg", "data.s3.amazonaws.com/IMG_0009.jpg", "WWW.x.de/a/IMG_0009.jpg"])
def test_addresses_without_a_protocol(sites, path):
    assert listed(sites, path).reason.tolist() == ["is an address: download the photo first"]


@pytest.mark.parametrize("folder", ["www.inaturalist.org", "data.com", "001.Albatross", "St. Louis"])
def test_folders_named_like_addresses(sites, folder):
    (sites / folder).mkdir()
    Image.new("L", (9, 9)).save(sites / folder / "0.jpg")
    assert check_photos(listed(sites, f"{folder}/0.jpg")).status.tolist() == ["ok"]


def test_a_broken_link_is_called_one(sites):
    try: (sites / "broken.jpg").symlink_to(sites / "gone" / "0.jpg")
    except OSError: pytest.skip("this system allows no links")
    assert check_photos(listed(sites, "broken.jpg")).reason[0] == f"file not found: is a link to {sites / 'gone' / '0.jpg'}, which is not there"
