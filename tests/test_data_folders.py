"Patterns that cannot label photos are refused with the way out."
import re
import time

import pytest
from PIL import Image

from fishlearn.data.folders import _compile_label, _search_all, from_folder, from_name_re
from fishlearn.data.photos import photo_table
from fishlearn.errors import ArgumentError


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        (tmp_path / f"cod_{i}.jpg").touch()
    return tmp_path


@pytest.mark.parametrize("pattern, why", [
    (r"^(\d+)-", "matches none of the 3 file names or paths, such as 'cod_0.jpg'"),
    (r"^.+_\d+", "needs parentheses around the species"),
    (r"^(.+_\d+", "is no regular expression")])
def test_a_useless_pattern_is_refused(folder, pattern, why):
    with pytest.raises(ArgumentError, match=why):
        from_name_re(folder, pattern)


def test_a_pattern_that_would_run_for_ever_has_a_limit():
    began = time.time()
    with pytest.raises(ArgumentError, match=r"The pattern '\(a\+\)\+\$' takes longer than 1 seconds on 1 names"):
        _search_all("(a+)+$", ["a" * 40 + "!.jpg"], seconds=1)
    assert time.time() - began < 10


@pytest.mark.parametrize("pattern", ["(" * 5000 + "a" + ")" * 5000, "(?:" * 5000 + "(a)" + ")" * 5000, "(a", "(a{99999999999})", "a"])
def test_patterns_that_are_none(pattern):
    with pytest.raises(ArgumentError, match="The pattern .{2,110} (is no regular expression|needs parentheses)") as e: _compile_label(pattern)
    assert len(str(e.value)) < 300


def test_search_is_that_of_re():
    texts = ["cod_1.jpg", "", "caf\udce9_2.jpg", "_.jpg", "no", "a\nb_1.jpg", "鱈_3.jpg"]
    for pattern in [r"^(.*)_\d", r"(x)?_", r"(\w+)_"]:
        assert _search_all(pattern, texts) == [m and [m.group(1)] for m in (re.search(pattern, t) for t in texts)]


def photos(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), 9 * i).save(folder / name)


@pytest.mark.parametrize("others, hint", [
    (["labels.csv"], "; if {}/labels.csv lists the species, give that file instead of the folder"),
    (["notes.txt", "a.tsv"], "; if {}/a.tsv lists the species, give that file instead of the folder"),
    (["train.json", "val.json"], "; if {}/train.json lists the species, give that file instead of the folder"),
    (["images/0.json"], "; the .json files are annotations of one photo each, so export them as COCO and give that file"),
    (["images/0.xml"], "; the .xml files are annotations of one photo each, so export them as COCO and give that file"),
    (["images/1.txt"], "; the .txt files are annotations of one photo each, so export them as COCO and give that file"),
    ([], "; make a folder for each species, or give a pattern for the species in the file names (--label-re)")])
def test_photos_in_no_species_folder_get_a_way_out(tmp_path, others, hint):
    photos(tmp_path, "images/0.jpg", "images/1.jpg")
    for name in others: (tmp_path / name).write_text("{}")
    reason, = set(from_folder(tmp_path).reason)
    assert reason == "lies in no species folder" + hint.format(tmp_path.as_posix())


def test_reasons_are_true_of_each_photo(tmp_path):
    photos(tmp_path, "train/cod/0.jpg", "train/1.jpg", "test/2.jpg")
    assert from_folder(tmp_path).reason.tolist() == ["is a test photo of no known species", "lies in no species folder", ""]


@pytest.mark.parametrize("names, kind", [
    (["images/train/0.jpg", "labels/train/0.txt", "dataset.yaml"], "a YOLO export"), (["images/0.jpg", "labels/0.txt"], "a YOLO export"),
    (["VOC2007/JPEGImages/0.jpg", "VOC2007/Annotations/0.xml"], "a Pascal VOC export"), (["obj_train_data/0.jpg"], "a CVAT export in the format of YOLO")])
def test_exports_without_coco(tmp_path, names, kind):
    photos(tmp_path, names[0])
    for name in names[1:]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(ArgumentError, match=f"is {kind}; export it again as COCO, or give a pattern"): photo_table(tmp_path)
    assert photo_table(tmp_path, label=r"(\d)\.jpg").label.tolist() == ["0"]
