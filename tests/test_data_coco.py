"What is unusual in a COCO file costs a row with its reason; what is no COCO file is refused."
import json

import pytest

from fishlearn.data.coco import _read_coco, from_coco
from fishlearn.errors import ArgumentError, JobError


def annotation(i, **changes):
    outline = [[10, 10, 60, 10, 60, 40]]
    return dict(id=i, image_id=i, category_id=0, bbox=[10, 10, 50, 30], segmentation=outline, iscrowd=0) | changes


def write(file, notes, **parts):
    images = [dict(id=n["id"], file_name=f"{n['id']}.jpg", width=100, height=100) for n in notes]
    coco = dict(images=images, annotations=notes, categories=[dict(id=0, name="cod")]) | parts
    file.write_text(json.dumps(coco))
    return file


@pytest.mark.parametrize("changes, status, reason", [
    (dict(), "ok", ""),
    (dict(iscrowd=1), "crowd", "a crowd, not one animal"),
    (dict(bbox=[5, 5, 9, 9]), "tiny", "box smaller than 16 px"),
    (dict(bbox=[5, 5, 0, 9], segmentation=None), "no box", "annotation without a box"),
    (dict(bbox=["a", 1, 2, 3]), "no box", "annotation without a box"),
    (dict(bbox=[900, 900, 20, 20]), "no box", "box outside of its photo"),
    (dict(category_id=99), "unlabelled", "annotation of no known category"),
    (dict(image_id="x"), "no photo", "annotation of no photo in the file"),
    (dict(bbox=None, segmentation=[[1, 2, 3]]), "damaged", "annotation that cannot be understood (ArgumentError)"),
    (dict(bbox=None, segmentation="1,2"), "damaged", "annotation that cannot be understood (TypeError)")])
def test_each_annotation_has_a_status(tmp_path, changes, status, reason):
    table = from_coco(write(tmp_path / "coco.json", [annotation(0, **changes)]))
    assert (table.status[0], table.reason[0]) == (status, reason)


def test_photos_without_annotation_or_name_are_listed(tmp_path):
    images = [dict(id=0, file_name="a\\0.jpg"), dict(id=1, file_name="a\\1.jpg"), dict(id="nameless")]
    table = from_coco(write(tmp_path / "coco.json", [annotation(0)], images=images))
    assert table.status.tolist() == ["ok", "unlabelled", "no photo"]
    assert table.path[1] == (tmp_path / "a/1.jpg").as_posix()


@pytest.mark.parametrize("text, why", [
    ("path,label", "is no JSON; give a COCO file"),
    ('{"images": []}', "lacks annotations, categories"),
    ('{"images": [], "annotations": [7], "categories": []}', "its annotations are not all objects"),
    ('{"images": [{"id": 1}, {"id": "1"}], "annotations": [], "categories": []}', "gives the id 1 to several photos")])
def test_what_is_no_coco_file_is_refused(tmp_path, text, why):
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(ArgumentError, match=why):
        _read_coco(tmp_path / "coco.json")


def test_a_file_that_names_no_photos_is_refused(tmp_path):
    with pytest.raises(JobError, match="names no photos"):
        from_coco(write(tmp_path / "coco.json", []))
