"COCO files: boxes fit the photos that are there, nothing is left out without a reason, and nothing brings the reader down."
import json
import os
import shutil
import time

import numpy as np
import pytest
from odd_values import ODD, with_value_at
from PIL import Image

from fishlearn.data.annotations import _note_box, _note_outlines, _widen
from fishlearn.data.box_files import _FOREIGN, BoxOptions, _check_coco, _id, _json_kind, _place_photos, _read_json
from fishlearn.data.coco import from_coco
from fishlearn.data.detections import from_detections
from fishlearn.data.exports import _load_boxes
from fishlearn.data.health import check_photos
from fishlearn.data.photo_sizes import _read_size
from fishlearn.data.photos import photo_table
from fishlearn.data.reading import _EXIF_TURNS, read_photo
from fishlearn.data.run_lengths import _read_runs, _runs_box, _runs_outlines, _unpack_counts
from fishlearn.data.table import SEPARATOR, species_counts
from fishlearn.errors import ArgumentError, FishlearnError, JobError

BACK = {6: 8, 8: 6}  # the turn that undoes one; the others undo themselves


def annotation(i, **changes):
    outline = [[10, 10, 60, 10, 60, 40]]
    return dict(id=i, image_id=i, category_id=0, bbox=[10, 10, 50, 30], segmentation=outline, iscrowd=0) | changes


def write(file, notes, **parts):
    images = [dict(id=n["id"], file_name=f"{n['id']}.jpg", width=100, height=100) for n in notes]
    coco = dict(images=images, annotations=notes, categories=[dict(id=0, name="cod")]) | parts
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(coco))
    return file


def upright_scene(size=(200, 300), box=(120, 30, 60, 90)):
    "A grey photo with a red animal, which is no symmetric picture."
    scene = Image.new("RGB", size, "grey")
    scene.paste("red", (box[0], box[1], box[0] + box[2], box[1] + box[3]))
    return scene


def save_turned(scene, file, orientation):
    "Save a photo such that EXIF turns it upright; return the pixels as stored."
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = scene.transpose(_EXIF_TURNS[BACK.get(orientation, orientation)]) if orientation > 1 else scene
    stored.save(file, exif=exif, quality=95)
    return stored


def red_box(image):
    "The box around what is red."
    red = np.asarray(image.convert("RGB")).astype(int)
    y, x = np.nonzero((red[..., 0] > 200) & (red[..., 1] < 90))
    return [int(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)]


def corners(box):
    x, y, w, h = box
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def redness(path):
    "Fraction of a crop that is the animal."
    crop = np.asarray(read_photo(path)).astype(int)
    return ((crop[..., 0] > 180) & (crop[..., 1] < 110)).mean()


# --- boxes and the size of the photo

@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("stored_pixels", [True, False])
def test_boxes_follow_a_photo_that_exif_turns(tmp_path, ending, stored_pixels):
    "In all eight orientations the crop and the outline are the animal, whichever pixels the tool drew in."
    images, notes, scene = [], [], upright_scene()
    for o in range(1, 9):
        stored = save_turned(scene, tmp_path / f"{o}.{ending}", o)
        drawn = stored if stored_pixels else scene
        images.append(dict(id=o, file_name=f"{o}.{ending}", width=drawn.width, height=drawn.height))
        notes.append(annotation(o, bbox=red_box(drawn), segmentation=[corners(red_box(drawn))]))
    file = write(tmp_path / "coco.json", notes, images=images)
    for table in (from_coco(file, margin=0), from_coco(file, margin=0, background=False)):
        assert table.status.tolist() == ["ok"] * 8
        assert [redness(p) > .95 for p in table.path] == [True] * 8
    assert all(abs(np.subtract(red_box(scene), _photo_box(p))).max() <= 2 for p in from_coco(file, margin=0).path)


def _photo_box(path):
    return [int(v) for v in path.split("xywh=")[1].split(",")]


def test_run_lengths_follow_a_photo_that_exif_turns(tmp_path):
    images, notes = [], []
    for o in range(1, 9):
        stored = np.asarray(save_turned(upright_scene(), tmp_path / f"{o}.png", o))
        runs = encode((stored[..., 0] > 200) & (stored[..., 1] < 90))
        images.append(dict(id=o, file_name=f"{o}.png", width=stored.shape[1], height=stored.shape[0]))
        notes.append(annotation(o, bbox=None, segmentation=runs))
    table = from_coco(write(tmp_path / "coco.json", notes, images=images), margin=0, background=False)
    assert [redness(p) > .9 for p in table.path] == [True] * 8


@pytest.mark.parametrize("size, status", [
    ((300, 200), "ok"), ((600, 400), "ok"), ((150, 100), "ok"), ((451, 300), "ok"), ((1000, 667), "ok"),
    ((300, 240), "other size"), ((200, 300), "other size"), ((640, 512), "other size"), ((3, 2), "other size")])
def test_boxes_are_scaled_with_their_photo(tmp_path, size, status):
    "The photo has 300×200 px: the same picture at another size is used, any other shape is not."
    upright_scene((300, 200), (120, 30, 60, 90)).save(tmp_path / "0.jpg", quality=95)
    grow = size[0] / 300
    note = annotation(0, bbox=[120 * grow, 30 * grow, 60 * grow, 90 * grow], segmentation=None)
    images = [dict(id=0, file_name="0.jpg", width=size[0], height=size[1])]
    table = from_coco(write(tmp_path / "coco.json", [note], images=images), margin=0)
    assert table.status[0] == status
    if status == "ok": assert redness(table.path[0]) > .9
    else: assert table.reason[0] == f"box made for {size[0]}×{size[1]} px, the photo has 300×200 px"


def test_photos_that_could_be_either_follow_the_others(tmp_path, caplog):
    "A square photo says nothing about the pixels its boxes are made for; the other photos do, and upright is assumed."
    square = upright_scene((300, 300))
    for orientations, drawn_stored in (((6, 8, 6), True), ((6,), False)):
        images, notes = [], []
        for i, o in enumerate(orientations):
            scene = square if i == 0 else upright_scene()
            stored = save_turned(scene, tmp_path / f"{i}.jpg", o)
            drawn = stored if drawn_stored else scene
            images.append(dict(id=i, file_name=f"{i}.jpg", width=drawn.width, height=drawn.height))
            notes.append(annotation(i, bbox=red_box(drawn), segmentation=None))
        table = from_coco(write(tmp_path / "coco.json", notes, images=images), margin=0)
        assert all(redness(p) > .9 for p in table.path)


def test_a_missing_size_is_upright_unless_the_box_only_fits_the_stored_pixels(tmp_path):
    scene = upright_scene((200, 300), (100, 10, 90, 60))
    stored = save_turned(scene, tmp_path / "0.jpg", 8)
    for drawn in (scene, stored):
        note = annotation(0, bbox=red_box(drawn), segmentation=None)
        table = from_coco(write(tmp_path / "c.json", [note], images=[dict(id=0, file_name="0.jpg")]), margin=0)
        assert redness(table.path[0]) > .9


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    "EXIF may follow the pixels of a PNG; a PNG without any isn't decoded to find that out."
    exif = Image.Exif()
    exif[0x112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png", exif=exif)
    data = (tmp_path / "a.png").read_bytes()
    at = data.index(b"eXIf") - 4
    n = 12 + int.from_bytes(data[at:at + 4], "big")
    (tmp_path / "late.png").write_bytes(data[:at] + data[at + n:-12] + data[at:at + n] + data[-12:])
    assert _read_size(tmp_path / "late.png") == _read_size(tmp_path / "a.png") == (40, 30, 6)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1500, 1500, 3), np.uint8)).save(tmp_path / "big.png")
    start = time.perf_counter()
    assert _read_size(tmp_path / "big.png") == (1500, 1500, 1)
    assert time.perf_counter() - start < .02


def test_a_missing_photo_is_left_to_the_later_check(tmp_path):
    assert from_coco(write(tmp_path / "coco.json", [annotation(0)])).status.tolist() == ["ok"]


@pytest.mark.parametrize("size", [dict(width=200, height=300), {}])
def test_fractions(tmp_path, size, caplog):
    upright_scene().save(tmp_path / "0.jpg", quality=95)
    part = np.divide([120, 30, 60, 90], [200, 300] * 2).tolist()
    note = annotation(0, bbox=part, segmentation=[corners(part)])
    file = write(tmp_path / "coco.json", [note], images=[dict(id=0, file_name="0.jpg") | size])
    for background in (True, False):
        table = from_coco(file, margin=0, background=background)
        assert table.status[0] == "ok" and redness(table.path[0]) > .9
    missing = from_coco(write(tmp_path / "c.json", [note], images=[dict(id=0, file_name="gone.jpg") | size]))
    assert missing.path[0] == (tmp_path / "gone.jpg").as_posix()


def test_boxes_beyond_their_photo_are_told(tmp_path, capsys):
    for i in range(3): upright_scene((100, 100), (10, 10, 50, 30)).save(tmp_path / f"{i}.jpg")
    notes = [annotation(i, bbox=[10, 10, 60, 95], segmentation=None) for i in range(3)]
    assert set(from_coco(write(tmp_path / "coco.json", notes)).status) == {"ok"}
    said = capsys.readouterr().out
    assert "3 of 3 boxes of coco.json reach beyond their photos" in said and "corners" in said


# --- annotations without a box

def whole_photos(folder, **change):
    "Three photos, the last with two species; ids of all kinds."
    for i in range(3): upright_scene().save(folder / f"{i}.jpg")
    images = [dict(id=i, file_name=f"{k}.jpg", location=f"L{k // 2}") for k, i in enumerate([1, "2", 3.0])]
    notes = [dict(id=k, image_id=i, category_id=c) | change
             for k, (i, c) in enumerate([("1", 1), (1, "1"), (2, 2.0), (3, 1), ("3.0", "2")])]
    return write(folder / "coco.json", notes, images=images, categories=[dict(id="1", name="cod"), dict(id=2, name="empty")])


@pytest.mark.parametrize("change", [{}, dict(bbox=None), dict(bbox=[]), dict(bbox=[0, 0, 0, 0]), dict(bbox=[0.0] * 4, segmentation=[]),
                                    dict(segmentation=[[]]), dict(bbox=[0] * 4, segmentation=dict(size=[300, 200], counts=[60000]))])
def test_an_annotation_without_a_box_is_its_photo(tmp_path, change):
    table = from_coco(whole_photos(tmp_path, **change))
    assert [p.rpartition("/")[2] for p in table.path] == ["0.jpg", "1.jpg", "2.jpg", "2.jpg"]
    assert table.label.tolist() == ["cod", "empty", "cod", "empty"]
    assert table.status.tolist() == ["ok", "ok", "contradictory", "contradictory"]


def test_several_species_only_if_asked(tmp_path):
    table = from_coco(whole_photos(tmp_path), label_delim=";")
    assert table.label.tolist() == ["cod", "empty", SEPARATOR.join(["cod", "empty"])]
    assert table.status.tolist() == ["ok"] * 3
    assert photo_table(tmp_path / "coco.json", label_delim=";").label.tolist() == table.label.tolist()


def test_boxes_and_whole_photos_mix(tmp_path):
    file = whole_photos(tmp_path)
    coco = json.loads(file.read_text())
    coco["annotations"][2]["bbox"] = [120, 30, 60, 90]
    file.write_text(json.dumps(coco))
    assert ["#xywh" in p for p in from_coco(file).path] == [False, True, False, False]


def test_a_name_never_makes_several_species(tmp_path):
    table = from_coco(write(tmp_path / "c.json", [annotation(0)], categories=[dict(id=0, name=f"cod{SEPARATOR}ling")]))
    assert species_counts(table).shape == (1, 1)


# --- groups

def test_any_field_joins_photos(tmp_path):
    file = whole_photos(tmp_path)
    assert from_coco(file, group="location").group.tolist() == ["L0", "L0", "L1", "L1"]
    coco = json.loads(file.read_text())
    for n, who in zip(coco["annotations"], ["Bo", "Bo", "Al", "Al", "Bo"]): n["fish"] = who
    coco["images"][0]["gps"] = [1, 2]
    file.write_text(json.dumps(coco))
    assert from_coco(file, group="fish").group.nunique() == 1  # the last photo shows both
    assert from_coco(file, group=["location", "fish"]).group.nunique() == 1
    assert from_coco(file).group.tolist() == ["0.jpg", "1.jpg", "2.jpg", "2.jpg"]
    with pytest.raises(ArgumentError, match="The field 'site' is not there in .*; group by one of: .*file_name, fish, id.*location"):
        from_coco(file, group="site")
    with pytest.raises(ArgumentError, match="The field 'gps' holds several values"): from_coco(file, group="gps")


def test_a_photo_is_never_split_by_a_missing_value(tmp_path):
    file = write(tmp_path / "c.json", [annotation(0, fish="Bo"), annotation(1, image_id=0), annotation(2, image_id=2)],
                 images=[dict(id=i, file_name=f"{i}.jpg", width=100, height=100) for i in (0, 2)])
    groups = from_coco(file, group="fish").group.tolist()
    assert groups[0] == groups[1] != groups[2]


# --- run lengths

def encode(mask):
    "A mask as run lengths, as COCO defines them."
    flat = np.concatenate([[0], mask.astype(np.int8).ravel(order="F"), [2]])
    runs = np.diff(np.flatnonzero(np.diff(flat) != 0), prepend=0) if flat[1] == 0 else None
    if runs is None: runs = np.append(0, np.diff(np.flatnonzero(np.diff(flat) != 0)))
    return dict(size=list(mask.shape), counts=[int(r) for r in runs])


def test_run_lengths_agree_with_pycocotools():
    "On masks of all kinds: boxes, and packed text."
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for i in range(60):
        h, w = rng.integers(1, 90, 2)
        mask = np.zeros((h, w), bool)
        a, b = sorted(rng.integers(0, h + 1, 2)), sorted(rng.integers(0, w + 1, 2))
        mask[a[0]:a[1], b[0]:b[1]] = True
        if i % 2: mask &= rng.random((h, w)) > .3
        packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = packed["counts"].decode()
        runs, plain = _read_runs(dict(size=[int(h), int(w)], counts=text)), _read_runs(encode(mask))
        assert np.array_equal(np.repeat(np.arange(len(runs.ends)) % 2, np.diff(runs.ends, prepend=0)), mask.ravel(order="F"))
        assert _runs_box(runs) == _runs_box(plain) == ([int(v) for v in coco.toBbox(packed)] if mask.any() else None)


def test_outline_of_run_lengths():
    mask = np.zeros((3000, 4000), bool)
    mask[500:2500, 1000:3000] = True
    (outline,) = _runs_outlines(_read_runs(encode(mask)))
    assert abs(outline.min(0) - [1000, 500]).max() <= 2 and abs(outline.max(0) - [3000, 2500]).max() <= 4


@pytest.mark.parametrize("runs, why", [
    (dict(size=[20000, 20000], counts=[4 * 10**8]), "more than 100 megapixels"),
    (dict(size=[10, 10], counts=[5, 10**9]), "no whole numbers"), (dict(size=[10, 10], counts=[-5, 105]), "no whole numbers"),
    (dict(size=[10, 10], counts=[50.5, 49.5]), "no whole numbers"), (dict(size=[10, 10], counts="000"), "do not fill"),
    (dict(size=[10, 10], counts=[10**400]), "no whole numbers"), (dict(size=[10, 10], counts=[]), "do not fill"),
    (dict(size=[10, 10], counts=""), "damaged text"), (dict(size=[10, 10], counts="€\x00~"), "damaged text"),
    (dict(size=[10, 10], counts="o" * 99), "damaged text"), (dict(size=[10, 10], counts="o" * 9 + "0"), "damaged text"),
    (dict(size=[10, 10], counts={}), "no whole numbers"), (dict(size=[10, 10]), "no whole numbers"),
    (dict(size=[10], counts=[100]), "without a size"), (dict(size=[10, -10], counts=[100]), "without a size"),
    (dict(size=[True, 10], counts=[10]), "without a size"), (dict(size="10", counts=[100]), "without a size"),
    (dict(counts=[100]), "without a size")])
def test_bad_run_lengths_are_refused(tmp_path, runs, why):
    with pytest.raises(ArgumentError, match=why): _read_runs(runs)
    for background in (True, False):
        table = from_coco(write(tmp_path / "c.json", [annotation(0, bbox=None, segmentation=runs)]), background=background)
        assert table.status[0] == "damaged" and why in table.reason[0]


def test_run_lengths_of_another_size_are_refused(tmp_path):
    notes = [annotation(0, segmentation=dict(size=[50, 50], counts=[500, 1000, 1000]))]
    assert from_coco(write(tmp_path / "c.json", notes), background=False).reason[0] == "outline made for another size than its box"
    assert from_coco(write(tmp_path / "c.json", notes)).status[0] == "ok"  # only the box is needed


@pytest.mark.parametrize("text", ["0", "1", "P", "_", "o" * 8, "\u0130", "52203" * 999])
def test_any_text_is_unpacked_or_refused(text):
    try: assert _unpack_counts(text).dtype == np.int64
    except ArgumentError: pass


# --- every annotation is answered for

@pytest.mark.parametrize("changes, status, reason", [
    (dict(), "ok", ""),
    (dict(iscrowd=1), "crowd", "a crowd, not one animal"),
    (dict(iscrowd="yes"), "ok", ""),
    (dict(bbox=[5, 5, 9, 9]), "tiny", "box smaller than 16 px"),
    (dict(bbox=[5, 5, 0, 9], segmentation=None), "damaged", "box without an area"),
    (dict(bbox=[5, 5, -9, 9]), "damaged", "box without an area"),
    (dict(bbox=["a", 1, 2, 3]), "damaged", "box that is no list of four numbers"),
    (dict(bbox=[1, 2, 3]), "damaged", "box that is no list of four numbers"),
    (dict(bbox=[1, 2, 3, 4, 5]), "damaged", "box that is no list of four numbers"),
    (dict(bbox=dict(x=1)), "damaged", "box that is no list of four numbers"),
    (dict(bbox="10,10,50,30"), "damaged", "box that is no list of four numbers"),
    (dict(bbox=["10", "10", "50", "30"]), "ok", ""),
    (dict(bbox=[float("nan"), 1, 50, 30]), "damaged", "box that is no list of four numbers"),
    (dict(bbox=[1, float("inf"), 50, 30]), "damaged", "box that is no list of four numbers"),
    (dict(bbox=[1, 1, 1e308, 1e308]), "damaged", "box of a million pixels"),
    (dict(bbox=[1, 1, 10**400, 10]), "damaged", "box that is no list of four numbers"),
    (dict(bbox=[900, 900, 20, 20]), "no box", "box outside of its photo, or mostly outside"),
    (dict(bbox=[-40, 10, 50, 30]), "no box", "box outside of its photo, or mostly outside"),
    (dict(category_id=99), "unlabelled", "annotation of no known category"),
    (dict(category_id=None), "unlabelled", "annotation of no known category"),
    (dict(category_id=7), "unlabelled", "annotation of a category without a name"),
    (dict(image_id="x"), "no photo", "annotation of no photo in the file"),
    (dict(image_id=None), "no photo", "annotation of no photo in the file"),
    (dict(image_id=[0]), "no photo", "annotation of no photo in the file"),
    (dict(bbox=None, segmentation=[[1, 2, 3]]), "damaged", "outline that is no list x, y, x, y, … of at least three corners"),
    (dict(bbox=None, segmentation="1,2"), "damaged", "outline that is no list")])
def test_each_annotation_has_a_status(tmp_path, changes, status, reason):
    categories = [dict(id=0, name="cod"), dict(id=7, name=" "), dict(name="nothing"), dict(id=8, name={})]
    table = from_coco(write(tmp_path / "coco.json", [annotation(0, **changes)], categories=categories))
    row = table[table.status != "unlabelled"].iloc[0] if status == "no photo" else table.iloc[0]
    assert (row.status, row.reason) == (status, reason)


def test_photos_without_annotation_or_name_are_listed(tmp_path):
    images = [dict(id=0, file_name="a\\0.jpg"), dict(id=1, file_name="a\\1.jpg"), dict(id="nameless")]
    table = from_coco(write(tmp_path / "coco.json", [annotation(0)], images=images))
    assert table.status.tolist() == ["ok", "unlabelled", "no photo"]
    assert table.path[1] == (tmp_path / "a/1.jpg").as_posix()


@pytest.mark.parametrize("text, why", [
    ("path,label", "is not JSON; give a COCO file"),
    ("[" * 100000, "is not JSON; give a COCO file"),
    ("", "is not JSON; give a COCO file"),
    ("[]", "lacks images, annotations, categories"), ("7", "lacks images"), ('"x"', "lacks images"), ("null", "lacks images"),
    ('{"images": []}', "lacks annotations, categories"),
    ('{"images": {}, "annotations": [], "categories": null}', "lacks images, categories"),
    ('{"images": [], "annotations": [7], "categories": []}', "its annotations are not all objects"),
    ('{"images": [{"id": 1}, {"id": "1"}], "annotations": [], "categories": []}', "gives the id 1 to several photos"),
    ('{"images": [{"id": 1.0}, {"id": 1}], "annotations": [], "categories": []}', "gives the id 1 to several photos"),
    ('{"shapes": [], "imagePath": "a.jpg"}', "is a LabelMe file of one photo"),
    ('{"_via_settings": {}, "_via_img_metadata": {}}', "is a VIA project; in VIA choose Annotation"),
    ('{"a.jpg1": {"filename": "a.jpg", "regions": []}}', "is a VIA file; in VIA choose Annotation"),
    ('[{"data": {}, "annotations": []}]', "is a Label Studio file in its own format; export it again as COCO"),
    ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}]', "results of a COCO detector without their photos"),
    ('[{"path": "a.jpg", "label": "cod"}]', "save it as a CSV file")])
def test_what_is_no_coco_file_is_refused(tmp_path, text, why):
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(ArgumentError, match=why):
        _check_coco(_read_json(tmp_path / "coco.json"), tmp_path / "coco.json")


def test_one_id_of_two_categories_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="gives the id 0 to two categories, cod and ling"):
        from_coco(write(tmp_path / "c.json", [annotation(0)], categories=[dict(id=0, name="cod"), dict(id="0", name="ling")]))


def test_a_file_that_names_no_photos_is_refused(tmp_path):
    with pytest.raises(JobError, match="names no photos"):
        from_coco(write(tmp_path / "coco.json", []))


@pytest.mark.skipif(os.name != "posix", reason="pipes have a name")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "coco.json")
    with pytest.raises(JobError, match="is not a file that can be read"): from_coco(tmp_path / "coco.json")


def test_utf_16(tmp_path):
    text = write(tmp_path / "c.json", [annotation(0)], categories=[dict(id=0, name="Größe")]).read_text()
    (tmp_path / "c.json").write_text(text, encoding="utf-16")
    assert from_coco(tmp_path / "c.json").label[0] == "Größe"


# --- names of photos

@pytest.mark.parametrize("name", [
    "..\\..\\label-studio\\media\\upload\\4\\a b.jpg", "/data/upload/4/a b.jpg", "/data/local-files/?d=set/a%20b.jpg",
    "C:\\Users\\me\\a b.jpg", "http://host/data/upload/a%20b.jpg?x=1", "a%20b.jpg", "../../../a b.jpg", "/a b.jpg"])
def test_names_of_another_machine(tmp_path, name, capsys):
    (tmp_path / "set/images").mkdir(parents=True)
    upright_scene().save(tmp_path / "set/images/a b.jpg")
    upright_scene().save(tmp_path / "a b.jpg")  # outside of the export
    images = [dict(id=0, file_name=name, width=200, height=300)]
    table = from_coco(write(tmp_path / "set/coco.json", [annotation(0)], images=images))
    assert table.path[0].startswith((tmp_path / "set/images/a b.jpg").as_posix() + "#")
    assert "1 photos of coco.json are found by their file name" in capsys.readouterr().out


def test_names_that_fit_several_photos_or_none(tmp_path):
    for part in "ab":
        (tmp_path / part).mkdir()
        upright_scene().save(tmp_path / part / "0.jpg")
    upright_scene().save(tmp_path / "1.jpg")
    names = ["/x/0.jpg", "/x/1.jpg", "/y/1.jpg", "/x/2.jpg", "c/1.jpg"]
    places = _place_photos(tmp_path / "coco.json", names, tmp_path)
    assert "may be any of several photos 0.jpg" in places["/x/0.jpg"].reason
    assert "may be any of several photos 1.jpg" in places["/x/1.jpg"].reason
    assert "not found as /x/2.jpg, nor by its file name below" in places["/x/2.jpg"].reason
    assert places["c/1.jpg"] == ((tmp_path / "c/1.jpg").as_posix(), "")  # a plain path is not replaced by a guess


def test_folders_that_are_named_in_two_ways_are_searched_once(tmp_path, monkeypatch):
    "The file of boxes has a relative path, and its photos an absolute one."
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    upright_scene().save(tmp_path / "images/0.jpg")
    write(tmp_path / "coco.json", [annotation(0)], images=[dict(id=0, file_name="/x/0.jpg", width=200, height=300)])
    for images in (None, "images", tmp_path / "images"):
        assert from_coco("coco.json", images=images).status.tolist() == ["ok"]


def test_names_with_backslashes_are_found_in_the_usual_folders(tmp_path):
    (tmp_path / "images/a").mkdir(parents=True)
    upright_scene().save(tmp_path / "images/a/0.jpg")
    images = [dict(id=0, file_name="a\\0.jpg", width=200, height=300)]
    table = from_coco(write(tmp_path / "annotations/coco.json", [annotation(0)], images=images))
    assert table.path[0].startswith((tmp_path / "images/a/0.jpg").as_posix() + "#")


def test_a_path_that_leads_out_and_exists_is_meant(tmp_path):
    upright_scene().save(tmp_path / "a.jpg")
    images = [dict(id=0, file_name="../a.jpg", width=200, height=300)]
    table = from_coco(write(tmp_path / "set/coco.json", [annotation(0)], images=images))
    assert table.path[0].split("#")[0] == (tmp_path / "a.jpg").as_posix()


# --- exports of several files

def export(folder, parts, name="_annotations.coco.json"):
    for k, part in enumerate(parts):
        (folder / part).mkdir(parents=True)
        for i in range(2): upright_scene().save(folder / part / f"{i}.jpg")
        images = [dict(id=i, file_name=f"{i}.jpg", width=200, height=300) for i in range(2)]
        categories = [dict(id=9, name="animals"), dict(id=k, name="cod", supercategory="animals")]
        write(folder / part / name, [annotation(i, category_id=k) for i in range(2)], images=images, categories=categories)
    return folder


def test_roboflow(tmp_path):
    table = photo_table(export(tmp_path / "e", ["train", "valid", "test"]))
    assert table.split.value_counts().to_dict() == dict(train=2, valid=2, test=2)
    assert (set(table.label), set(table.status), table.group.nunique()) == ({"cod"}, {"ok"}, 6)
    assert set(photo_table(tmp_path / "e/train").split) == {None}
    files = [tmp_path / f"e/{p}/_annotations.coco.json" for p in ("train", "test")]
    assert len(photo_table(files)) == 4


def test_coco_layout(tmp_path):
    for part, year in (("train", 2017), ("val", 2017)):
        (tmp_path / f"{part}{year}").mkdir()
        upright_scene().save(tmp_path / f"{part}{year}/{part}.jpg")
        write(tmp_path / f"annotations/instances_{part}{year}.json", [annotation(0)],
              images=[dict(id=0, file_name=f"{part}.jpg", width=200, height=300)])
    (tmp_path / "annotations/captions_train2017.json").write_text("{}")
    table = photo_table(tmp_path)
    assert table.split.tolist() == ["train", "valid"] and all(redness(p) >= 0 for p in table.path)
    (tmp_path / "annotations/mine.json").write_text("{}")
    with pytest.raises(ArgumentError, match="has several files of boxes: instances_train2017.json, .*mine.json"): photo_table(tmp_path)


def test_species_folders_beside_boxes_are_not_guessed(tmp_path, capsys):
    folder = export(tmp_path / "e", ["train", "valid"])
    upright_scene().save(folder / "train/extra.jpg")
    photo_table(folder)
    assert "1 photos in" in capsys.readouterr().out
    shutil.copytree(folder / "valid", folder / "ling")
    with pytest.raises(ArgumentError, match="photos in other folders: ling. Give .*train/_annotations.coco.json"): photo_table(folder)
    assert set(photo_table(folder, label=r"([^/]+)/[^/]+$").label) == {"train", "valid", "ling"}


@pytest.mark.parametrize("files, what", [
    (["data.yaml", "train/labels/a.txt"], "a YOLO export"), (["data.yaml", "labels/a.txt"], "a YOLO export"),
    (["annotations.xml"], "a CVAT export"), (["Annotations/a.xml", "JPEGImages/a.jpg"], "a Pascal VOC export")])
def test_other_exports_are_named(tmp_path, files, what):
    for f in files:
        (tmp_path / f).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f).write_text("x")
    with pytest.raises(ArgumentError, match=f"is {what}; export it again as COCO"): photo_table(tmp_path)
    if files[0].endswith(("xml", "yaml")):
        with pytest.raises(ArgumentError, match="export the annotations as COCO"): photo_table(tmp_path / files[0])


# --- options

def test_margin_and_smallest_side(tmp_path):
    file = write(tmp_path / "c.json", [annotation(0)])
    path = lambda **o: photo_table(file, boxes=BoxOptions(**o)).path[0].rpartition("=")[2]
    assert (path(), path(margin=0), path(margin=.2)) == ("5,5,60,40", "10,10,50,30", "0,0,70,50")
    assert photo_table(file, boxes=BoxOptions(min_side=31)).reason[0] == "box smaller than 31 px"
    for wrong, why in [(dict(margin=-1), "margin is a fraction"), (dict(margin="x"), "margin is"), (dict(min_side=-1), "min_side is"),
                       (dict(margin=float("nan")), "margin is"), (dict(min_confidence=2), "between 0 and 1"),
                       (dict(min_confidence=.5), "for the file of a detector")]:
        with pytest.raises(ArgumentError, match=why): _load_boxes(file, boxes=BoxOptions(**wrong))
    (tmp_path / "cod").mkdir()
    upright_scene().save(tmp_path / "cod/a.jpg")
    with pytest.raises(ArgumentError, match="are about boxes; give a COCO file or a detector's JSON file, not a folder"):
        photo_table(tmp_path, boxes=BoxOptions())


# --- size

def test_a_hundred_thousand_annotations(tmp_path):
    "Read in seconds."
    notes = [annotation(i, image_id=i % 20000) for i in range(100_000)]
    images = [dict(id=i, file_name=f"{i}.jpg", width=100, height=100) for i in range(20000)]
    file = write(tmp_path / "c.json", notes, images=images)
    start = time.perf_counter()
    assert len(from_coco(file)) == 100_000
    assert time.perf_counter() - start < 30


# --- anything at all

@pytest.mark.parametrize("odd", ODD, ids=lambda v: repr(v)[:12])
def test_odd_values_anywhere(tmp_path, odd):
    "Every value of a file replaced by every odd one: a table or one sentence."
    whole = dict(images=[dict(id=0, file_name="0.jpg", width=100, height=100, place="A")], annotations=[annotation(0)],
                 categories=[dict(id=0, name="cod")])
    upright_scene((100, 100), (10, 10, 50, 30)).save(tmp_path / "0.jpg")
    spots = [(p,) for p in whole] + [(p, 0) for p in whole] + [(p, 0, k) for p in whole for k in whole[p][0]]
    spots += [("annotations", 0, "bbox", 1), ("annotations", 0, "segmentation", 0), ("annotations", 0, "segmentation", 0, 3)]
    for coco in with_value_at(whole, spots, odd):
        (tmp_path / "c.json").write_text(json.dumps(coco))
        for options in (dict(), dict(background=False, group="place", label_delim=";")):
            try: assert len(from_coco(tmp_path / "c.json", **options))
            except FishlearnError as e: assert "\n" not in str(e)


def test_a_box_is_read_or_refused():
    for odd in ODD:
        try: assert _note_box(dict(bbox=odd)) is None or len(_note_box(dict(bbox=odd))) == 4
        except ArgumentError: pass


def test_small_readers():
    "What the pages show, held fast."
    assert _unpack_counts("52203").tolist() == [5, 2, 2, 2, 5]
    assert _note_box(dict(segmentation=[[10, 10, 50, 10, 50, 30]])) == [10, 10, 40, 20]
    assert _note_outlines(dict(segmentation=[1, 2, 3, 4, 5, 6]))[0].shape == (3, 2)
    assert _widen([10, 10, 40, 20], .1) == (6, 6, 48, 28) and _widen([0, 0, 40, 20], .5, 45, 100) == (0, 0, 45, 40)
    assert [_id(v) for v in (1, 1.0, "1", " 1.0 ", "a", None, [1])] == ["1", "1", "1", "1", "a", None, None]
    assert [_json_kind(v) for v in ({}, dict(detection_categories={}), [dict(file="a", detections=[])])] == ["coco", "detections", "detections"]
    assert not any(_FOREIGN.match(n) for n in ("a.jpg", "c/a.jpg", r"c\a.jpg", "a..b/c.jpg"))
    assert all(_FOREIGN.match(n) for n in ("/a.jpg", "../a.jpg", r"c\..\a.jpg", r"C:\a.jpg", "http://x/a.jpg", "a%20b.jpg"))


def test_other_parts_of_coco_itself_are_stated(tmp_path, capsys):
    (tmp_path / "train2017").mkdir()
    (tmp_path / "test2017").mkdir()
    for part in ("train", "test"): upright_scene().save(tmp_path / f"{part}2017/{part}.jpg")
    write(tmp_path / "annotations/instances_train2017.json", [annotation(0)],
          images=[dict(id=0, file_name="train.jpg", width=200, height=300)])
    assert photo_table(tmp_path).split.tolist() == [None]
    assert "1 photos in" in capsys.readouterr().out


@pytest.mark.parametrize("options", [{}, dict(label_delim=";"), dict(group="place")])
def test_names_that_are_not_utf_8(tmp_path, options):
    "pandas and Arrow stumble over such names where they infer types."
    images = [dict(id=i, file_name=f"{i}\udce9.jpg", place="A\udce9") for i in range(2)]
    notes = [dict(id=k, image_id=k % 2, category_id=0) for k in range(4)]
    assert from_coco(write(tmp_path / "c.json", notes, images=images), **options).status.tolist() == ["ok", "ok"]


@pytest.mark.parametrize("fields, split, note", [
    (dict(split=["train", "val", "test"]), ["train", "valid", "test"], ""),
    (dict(subset=["train", "val", None]), ["train", "valid", None], "the column subset is used as the split"),
    (dict(is_test=[0, 0, 1]), ["train", "train", "test"], "the column is_test is used as the split"),
    (dict(split=["train", "a", ["b"]]), [None] * 3, "names no split"), (dict(license=[1, 2, 3]), [None] * 3, "")])
def test_the_split_of_the_images_is_used(tmp_path, fields, split, note):
    notes = [annotation(i) for i in range(3)]
    images = [dict(id=i, file_name=f"{i}.jpg", width=100, height=100) | {k: v[i] for k, v in fields.items()} for i in range(3)]
    for i in range(3): Image.new("RGB", (100, 100)).save(tmp_path / f"{i}.jpg")
    table = photo_table(write(tmp_path / "boxes.json", notes, images=images))
    assert table.split.tolist() == split and set(table.status) == {"ok"}
    assert note in " ".join([*table.attrs.get("notes", []), table.attrs.get("unknown_split", "")])


# --- names that differ from those on the disk

@pytest.mark.parametrize("name, file", [
    ("a/do\u0308bel.jpg", "a/d\u00f6bel.jpg"), ("a/D\u00d6BEL.JPG", "a/d\u00f6bel.jpg"), ("a/d\u00f6bel", "a/d\u00f6bel.jpg"), ("d\u00f6bel.jpg", "a/d\u00f6bel.jpg"), ("d\u00f6bel", "a/d\u00f6bel.jpg"),
    ("A/d\u00f6bel.jpg ", "a/d\u00f6bel.jpg"), ("b/d\u00f6bel.jpg", None), ("/data/b/d\u00f6bel.jpg", None), ("/data/a/d\u00f6bel.jpg", "a/d\u00f6bel.jpg"), ("a/x/d\u00f6bel.jpg", None),
    ("/data/upload/4/d\u00f6bel.jpg", "a/d\u00f6bel.jpg")])
def test_names_in_another_spelling(tmp_path, name, file):
    (tmp_path / "a").mkdir()
    upright_scene().save(tmp_path / "a/d\u00f6bel.jpg")
    upright_scene().save(tmp_path / "other.jpg")
    images = [dict(id=i, file_name=n, width=200, height=300) for i, n in enumerate((name, "other.jpg"))]
    write(tmp_path / "coco.json", [annotation(0), annotation(1)], images=images)
    table = check_photos(from_coco(tmp_path / "coco.json"))
    assert table.status.tolist() == ["ok" if file else "missing", "ok"]
    if file: assert table.path[0].startswith((tmp_path / file).as_posix() + "#")
    detected = [dict(file=n, detections=[dict(category="1", conf=.9, bbox=[.1, .1, .5, .5])]) for n in (name, "other.jpg")]
    (tmp_path / "md.json").write_text(json.dumps(dict(images=detected, detection_categories={"1": "animal"})))
    assert check_photos(from_detections(tmp_path / "md.json", label=r"(\w)\w*(?:\.jpg)?$")).status.tolist() == table.status.tolist()


def test_a_name_takes_no_photo_of_another_entry(tmp_path):
    (tmp_path / "a").mkdir()
    upright_scene().save(tmp_path / "a/0.jpg")
    places = _place_photos(tmp_path / "coco.json", ["a/0.jpg", "/x/0.jpg", "0"], tmp_path)
    assert places["a/0.jpg"] == ((tmp_path / "a/0.jpg").as_posix(), "") and places["0"].path == (tmp_path / "0").as_posix()
    assert "not found as /x/0.jpg" in places["/x/0.jpg"].reason and "a/0.jpg has the same name in another folder" in places["/x/0.jpg"].reason


@pytest.mark.parametrize("odd, status", [([.4, .5, 1.02, .4], "ok"), ([10, 20, 80, 90], "no box")])
def test_one_box_that_is_no_fraction_leaves_the_others_alone(tmp_path, odd, status):
    for i in range(3): upright_scene().save(tmp_path / f"{i}.jpg")
    notes = [annotation(i) | dict(bbox=b, segmentation=[]) for i, b in enumerate(([.1, .1, .5, .5], [.2, .2, .4, .4], odd))]
    images = [dict(id=i, file_name=f"{i}.jpg", width=200, height=300) for i in range(3)]
    assert from_coco(write(tmp_path / "coco.json", notes, images=images)).status.tolist() == ["ok", "ok", status]
