"Tables of many origins become the same photo table, and what cannot be read is refused with the reason."
import re
from pathlib import Path

import pandas as pd
import pytest

from fishlearn.data import tables
from fishlearn.data.health import check_photos
from fishlearn.data.summary import photos_summary
from fishlearn.data.table import _STATUSES
from fishlearn.data.tables import from_csv, from_df, read_table
from fishlearn.errors import ArgumentError, JobError

TRIPS = pd.DataFrame(dict(path=["a.jpg", "b.jpg", "c.jpg", "d.jpg"], label="cod",
                          boat_trip=["T1", "T2", "T2", None], site=["reef", "reef", None, None]))
FISH = pd.DataFrame(dict(path=["cod/1.jpg", "ling/1.jpg"], label=["cod", "ling"]))


@pytest.mark.parametrize("group", ["boat_trip", ["boat_trip"], ("boat_trip",)])
def test_a_group_is_a_column_or_a_list_of_one(group):
    assert from_df(TRIPS, group=group).group.tolist() == ["T1", "T2", "T2", None]


@pytest.mark.parametrize("options, why", [
    (dict(group=["boat_trip", "camera"]), "There is no column 'camera'; write one of: path, label, boat_trip, site"),
    (dict(group=[]), "Name a column, such as 'label', not a list"),
    (dict(label="kind"), "There is no column 'kind'; write one of: path, label")])
def test_a_missing_column_is_named(options, why):
    with pytest.raises(ArgumentError, match=why):
        from_df(TRIPS, **options)


def test_a_column_that_is_there_twice_is_refused():
    with pytest.raises(ArgumentError, match="There are several columns 'label'"):
        from_df(FISH[["path", "label", "label"]])


def test_a_table_without_rows_is_refused():
    with pytest.raises(JobError, match="has no rows"):
        from_df(FISH[:0])


def test_a_split_keeps_its_name_in_one_spelling():
    assert from_df(FISH.assign(split="Val ")).split.unique().tolist() == ["valid"]
    assert from_df(FISH.assign(split="holdout")).split.unique().tolist() == ["test"]


def test_a_column_named_status_alone_is_not_ours():
    assert set(from_df(FISH.assign(status="verified")).status) == {"ok"}
    assert set(from_df(FISH.assign(status="tiny", reason="too small")).status) == {"tiny"}


def test_a_missing_text_label_is_unlabelled():
    assert from_df(pd.DataFrame(dict(path=["a.jpg"], label=pd.array([None], "string")))).status.item() == "unlabelled"


def test_paths_written_on_windows_are_found(tmp_path):
    for path in FISH.path:
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    table = from_df(FISH.assign(path=FISH.path.str.replace("/", "\\")), root=tmp_path)
    assert table.path.tolist() == [(tmp_path / p).as_posix() for p in FISH.path]


def test_a_comma_at_the_end_of_each_row_changes_nothing(tmp_path):
    (tmp_path / "comma.csv").write_text("path,label\na.jpg,cod,\nb.jpg,ling,\n")
    assert from_csv(tmp_path / "comma.csv").label.tolist() == ["cod", "ling"]


def test_csv_tsv_and_parquet_agree(tmp_path):
    FISH.to_csv(tmp_path / "fish.csv", index=False)
    FISH.to_csv(tmp_path / "fish.tsv", sep="\t", index=False)
    pd.testing.assert_frame_equal(from_csv(tmp_path / "fish.tsv"), from_csv(tmp_path / "fish.csv"))
    pytest.importorskip("pyarrow")
    FISH.to_parquet(tmp_path / "fish.parquet")
    pd.testing.assert_frame_equal(from_csv(tmp_path / "fish.parquet"), from_csv(tmp_path / "fish.csv"))


def test_a_missing_file_is_named():
    with pytest.raises(ArgumentError, match="There is no file gone.csv"):
        from_csv("gone.csv")


@pytest.mark.parametrize("name, content", [
    ("empty.csv", b""), ("binary.csv", b"path\0\1,label\na.jpg,cod\n")])
def test_what_is_no_table_is_refused(tmp_path, name, content):
    Path(tmp_path / name).write_bytes(content)
    with pytest.raises(ArgumentError, match="cannot be read as a table"):
        from_csv(tmp_path / name)


def test_a_text_file_named_parquet_is_refused(tmp_path):
    (tmp_path / "bad.parquet").write_text("path,label")
    with pytest.raises((ArgumentError, JobError)):
        read_table(tmp_path / "bad.parquet")


def test_a_width_that_is_no_number_is_not_believed(tmp_path):
    table = from_df(FISH.assign(status="ok", reason="", width=["wide", 40], height=[30, "1e999"], bytes=["", "12"], sha256="0"))
    assert table.width.isna().tolist() == [True, False] and set(table.status) == {"ok"}
    assert set(check_photos(table).status) == {"missing"}


FOUR = pd.DataFrame(dict(path=["a.jpg", "b.jpg", "c.jpg", "d.jpg"], label=["cod", "ling", "cod", "ling"]))
PARTS = ["train", "train", "valid", "test"]


@pytest.mark.parametrize("columns", [
    dict(is_valid=[0, 0, 1, 0], is_test=[0, 0, 0, 1]), dict(is_train=[1, 1, 0, 0], is_valid=[0, 0, 1, 0]),
    dict(is_train=[1, 1, 0, 0], is_valid=[0, 0, 1, 0], is_test=[0, 0, 0, 1]), dict(is_train=[1, 1, 0, 0], is_test=[0, 0, 0, 1]),
    dict(train=["y", "y", None, None], valid=[None, None, "y", None], test=[None, None, None, "y"]),
    dict(is_training_image=[1, 1, 0, 0], is_validation_image=[0, 0, 1, 0]), dict(split=["train", "train", "val", None], is_test=[0, 0, 0, 1]),
    dict(split=[None] * 4, subset=PARTS), *({c: PARTS} for c in ("set", "stage", "mode", "split_name", "train_test_split", "anything"))])
def test_every_column_of_a_split_is_used(columns):
    table = from_df(FOUR.assign(**columns))
    assert table.split.tolist() == PARTS and "used as the split" in table.attrs["notes"][0]


@pytest.mark.parametrize("columns, why", [
    (dict(is_valid=[1, 0, 1, 0], is_test=[0, 0, 1, 1]), "is_valid and is_test contradict each other, such as in row 3"),
    (dict(split=PARTS[:3] + ["train"], is_test=[0, 0, 0, 1]), "split and is_test contradict each other, such as in row 4"),
    (dict(split=PARTS, is_train=[1, 0, 0, 0]), "split and is_train contradict each other, such as in row 2"),
    (dict(subset=PARTS[:3] + ["unlabeled"]), "'subset' names no split .train, valid, test. but unlabeled"),
    (dict(is_valid=["0", "1", "maybe", "0"]), "'is_valid' names no split .train, valid, test. but maybe")])
def test_a_split_that_makes_no_sense_is_refused(columns, why):
    table = from_df(FOUR.assign(**columns))
    assert table.split.isna().all()
    with pytest.raises(ArgumentError, match=why): raise ArgumentError(table.attrs["unknown_split"])


@pytest.mark.parametrize("columns", [dict(transport=["train", "car", "bus", "car"]), dict(train=[1, 0, 0, 1]),
                                     dict(note=["test", "good", "bad", "train"]), dict(reason=[["a"], ["b"], [], []])])
def test_other_columns_are_no_split(columns):
    assert from_df(FOUR.assign(**columns)).split.isna().all()


@pytest.mark.parametrize("columns", [
    dict(is_valid=[0, 0, 1, 0]), dict(split=PARTS), dict(fold=[0, 1, 0, 1]), {"column 1": [0, 1, 2, 3]}, {"Unnamed: 0": [0, 1, 2, 3]},
    dict(number=[7, 8, 9, 5]), dict(trip=["A", "A", "B", "B"]), dict(is_valid=[0, 1, 1, 1], is_test=[1, 0, 0, 0])])
def test_a_column_per_species_beside_others(columns):
    one_hot = FOUR[["path"]].assign(Puma=[1, 0, 1, 0], Guan=[0, 1, 1, 0])
    table = from_df(one_hot.assign(**columns), group="trip" if "trip" in columns else None)
    assert table.label.tolist() == ["Puma", "Guan", "Guan ‖ Puma", None]
    assert "read as species: Puma, Guan; remove any that is none" in table.attrs["notes"][0]


def test_a_table_with_another_column_of_text_has_no_column_per_species():
    with pytest.raises(ArgumentError, match="no column 'label'"):
        from_df(FOUR.rename(columns=dict(label="art")).assign(night=[0, 1, 0, 1], flash=[1, 0, 0, 1]))


def test_columns_status_and_reason_of_others_are_not_used():
    table = from_df(FOUR.assign(status=["kept", "released", "missing", None], reason="undersized"))
    assert set(table.status) == {"ok"} and set(table.reason) == {""}
    assert "since kept, released is no status of fishlearn" in photos_summary(table)
    assert from_df(FOUR.assign(status=["ok", "ok", "blurred", "ok"], reason="")).reason[2] == "marked as blurred"


def test_every_status_is_known():
    code = "".join(f.read_text(encoding="utf-8") for f in Path(tables.__file__).parents[1].rglob("*.py"))
    words = re.findall(r'status="([a-z ]+)"', code) + re.findall(r'leave_out\([^"]*?"([a-z ]+)",', code)
    assert set(words) - {"unusual"} <= _STATUSES and len(set(words)) > 10


def test_an_epithet_takes_its_genus():
    names = dict(genus=["Sciurus", "Beta", "Beta", None], species=["vulgaris", "vulgaris", None, "vulgaris"])
    table = from_df(FOUR[["path"]].assign(**names))
    assert table.label.tolist() == ["Sciurus vulgaris", "Beta vulgaris", None, "vulgaris"]
    assert table.attrs["notes"] == ["the columns genus and species are joined, as in Sciurus vulgaris"]
    names["species"] = ["Sciurus vulgaris", "Beta vulgaris", "Beta", "Puma"]
    assert from_df(FOUR[["path"]].assign(**names)).label.tolist() == names["species"]


def test_a_class_beside_other_ranks_is_no_label():
    with pytest.raises(ArgumentError, match="no column 'label'; write one of: path, class, family"):
        from_df(FOUR[["path"]].assign(**{"class": "Mammalia", "family": "Felidae"}))


@pytest.mark.parametrize("label", ["['Puma']", '["Puma", "Guan"]', "['Puma' 'Guan']", '{"choices": ["Puma"]}', "[]"])
def test_a_list_in_text_is_no_name(label):
    with pytest.raises(ArgumentError, match="is a list or an object; write the name alone"): from_df(FOUR.assign(label=label))


def test_brackets_in_names_stay(): assert from_df(FOUR.assign(label="[unknown] {Puma}")).label[0] == "[unknown] {Puma}"


def test_bytes_are_decoded():
    table = from_df(FOUR.assign(label="Döbel", split="train").map(str.encode))
    assert table.path.tolist() == FOUR.path.tolist() and set(table.label) == {"Döbel"} and set(table.split) == {"train"}


@pytest.mark.parametrize("photo", [dict(bytes=b"\xff\xd8", path="a.jpg"), b"\xff\xd8\xff", ["a.jpg"]])
def test_photos_in_place_of_paths_are_refused(photo):
    with pytest.raises(ArgumentError, match="'image' holds the photos themselves, or objects, not paths"):
        from_df(pd.DataFrame(dict(image=[photo, photo], label="cod")))


@pytest.mark.parametrize("text", ["# exported 2020\npath,label\na.jpg,cod\n", "Fish of 2020,,\npath,label,note\na.jpg,cod,x\n",
                                  "Exported, 2020\npath,label\na.jpg,cod\n"])
def test_a_line_above_the_header_is_named(tmp_path, text):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ArgumentError, match="it must name the columns, so remove any title"): from_csv(tmp_path / "labels.csv")


def test_species_in_several_rows_of_a_photo_have_not_vanished():
    table = from_df(pd.DataFrame(dict(path=["a.jpg", "a.jpg", "b.jpg"], label=["Puma", "Guan", "cod"])), label_delim=";")
    assert "no photo can be used" not in photos_summary(table)


def test_labels_that_may_mean_none_are_named():
    assert "may mean that there is none: ?, NA; if so" in photos_summary(from_df(FOUR.assign(label=["NA", "?", "cod", "Nana"])))


def test_other_columns_may_be_there_twice():
    twice = pd.concat([FOUR, FOUR.assign(note="x", split="train")[["note", "split"]], pd.DataFrame(dict(note=["y"] * 4))], axis=1)
    assert from_df(twice.astype(object)).split.tolist() == ["train"] * 4


def test_a_lone_column_test_is_named():
    table = from_df(FOUR.assign(test=[0, 1, 0, 1]))
    assert table.split.isna().all() and "the column test is not used; a split is a column `split`" in table.attrs["notes"][0]


def test_photos_in_parquet_are_refused(tmp_path):
    pytest.importorskip("pyarrow")
    FOUR.assign(label=b"cod").to_parquet(tmp_path / "bytes.parquet")
    assert set(from_csv(tmp_path / "bytes.parquet").label) == {"cod"}
    pd.DataFrame(dict(image=[dict(bytes=b"\xff\xd8" * 999, path="a.jpg")], label=["cod"])).to_parquet(tmp_path / "hub.parquet")
    with pytest.raises(ArgumentError, match="'image' holds the photos themselves"): from_csv(tmp_path / "hub.parquet")


def test_a_table_of_paths_alone_has_no_title():
    with pytest.raises(ArgumentError, match="There is no column 'label'; write one of: path"): from_df(FOUR[["path"]])
