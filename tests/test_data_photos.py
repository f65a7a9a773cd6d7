"Options that do not apply to a source, and sources that are none, are refused in one sentence."
import os

import pandas as pd
import pytest

from fishlearn.data.photos import photo_table
from fishlearn.errors import ArgumentError, JobError


@pytest.fixture
def folder(tmp_path):
    for name in ("cod/1.jpg", "ling/1.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "reef.json").write_text('{"images": [], "annotations": [], "categories": []}')
    return tmp_path


@pytest.mark.parametrize("source, options, why", [
    ("", dict(group="boat"), "group does not apply to a folder"),
    ("", dict(group=["boat", "site"]), "group does not apply to a folder"),
    ("", dict(path="file"), "path does not apply to a folder"),
    ("", dict(label=7), "label is a pattern or a function, not int"),
    ("", dict(label_delim=""), "label_delim is the text between two species"),
    ("", dict(label_delim=7), "label_delim is the text between two species"),
    ("reef.json", dict(path="file"), "path does not apply to a COCO file"),
    ("reef.json", dict(label="species"), "label does not apply to a COCO file")])
def test_an_option_that_would_be_ignored_is_refused(folder, source, options, why):
    with pytest.raises(ArgumentError, match=why):
        photo_table(folder / source, **options)


@pytest.mark.parametrize("source, options, why", [
    (["a.jpg"], {}, "needs a list of labels of the same length"),
    (["a.jpg"], dict(label=["cod"], group="boat"), "group does not apply to a list"),
    (7, {}, "not int"), ({}, {}, "not dict"), (b"photos", {}, "not bytes")])
def test_what_is_no_source_is_refused(source, options, why):
    with pytest.raises(ArgumentError, match=why):
        photo_table(source, **options)


@pytest.mark.skipif(os.name != "posix", reason="the message is that of the system")
def test_a_path_that_is_too_long_is_refused():
    with pytest.raises(JobError, match="cannot be opened: File name too long"):
        photo_table("x" * 300)


def test_several_columns_form_groups():
    table = photo_table(pd.DataFrame(dict(path=["a.jpg", "b.jpg", "c.jpg"], label="cod", trip=["T1", "T1", None],
                                          site=[None, "S1", "S1"])), group=["trip", "site"])
    assert table.group.nunique() == 1
