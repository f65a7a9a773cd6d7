"Tables of many origins become the same photo table, and what cannot be read is refused with the reason."
from pathlib import Path

import pandas as pd
import pytest

from fishlearn.data.health import check_photos
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
