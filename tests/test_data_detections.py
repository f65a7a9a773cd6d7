"Files of detectors: one row per animal, a reason for every photo, in the formats of MegaDetector, SpeciesNet and Microsoft."
import json

import numpy as np
import pytest
from odd_values import ODD, with_value_at
from PIL import Image

from fishlearn.cli import main
from fishlearn.data.box_files import BoxOptions
from fishlearn.data.detections import from_detections
from fishlearn.data.photos import photo_table
from fishlearn.data.reading import _EXIF_TURNS, read_photo
from fishlearn.deploy.predict import _list_photos, _pixels_or_error, _Unanswered
from fishlearn.errors import ArgumentError, FishlearnError, JobError

SIZE, BOX = (200, 300), (120, 30, 60, 90)
PART = [120 / 200, 30 / 300, 60 / 200, 90 / 300]


def draw(file, orientation=1):
    "A grey photo with a red animal, which EXIF turns upright."
    scene = Image.new("RGB", SIZE, "grey")
    scene.paste("red", (BOX[0], BOX[1], BOX[0] + BOX[2], BOX[1] + BOX[3]))
    exif = Image.Exif()
    exif[0x112] = orientation
    back = {6: 8, 8: 6}.get(orientation, orientation)
    file.parent.mkdir(parents=True, exist_ok=True)
    (scene.transpose(_EXIF_TURNS[back]) if orientation > 1 else scene).save(file, exif=exif, quality=95)


def redness(path):
    crop = np.asarray(read_photo(path)).astype(int)
    return ((crop[..., 0] > 180) & (crop[..., 1] < 110)).mean()


def found(**changes):
    return dict(category="1", conf=.9, bbox=PART) | changes


def write(file, images, **parts):
    categories = {"1": "animal", "2": "person", "3": "vehicle"}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(images=images, detection_categories=categories, info=dict(format_version="1.4")) | parts))
    return file


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_fractions_of_the_upright_photo(tmp_path, orientation):
    draw(tmp_path / "cod/a.jpg", orientation)
    table = from_detections(write(tmp_path / "md.json", [dict(file="cod/a.jpg", detections=[found()])]), margin=0)
    assert (table.label[0], table.status[0]) == ("cod", "ok") and redness(table.path[0]) > .95


def photos(folder):
    "One photo of everything a detector may say."
    names = "two empty weak people failed none bad tiny".split()
    for n in names: draw(folder / f"cod/{n}.jpg")
    seen = dict(two=[found(), found(bbox=[0, 0, .5, .5], conf=.3)], empty=[], weak=[found(conf=.1)],
                people=[found(category="2"), found(category="3"), found(category="9")], bad=[found(bbox=[1, 2, 3])],
                tiny=[found(bbox=[.1, .1, .05, .05])])
    images = [dict(file=f"cod/{n}.jpg", detections=seen[n]) for n in names if n in seen]
    images += [dict(file="cod/failed.jpg", failure="Failure image access", detections=None), dict(file="cod/none.jpg"),
               dict(file="cod/film.mp4", frame_rate=20, detections=[found(frame_number=0)]), dict(detections=[])]
    return write(folder / "md.json", images)


def test_every_photo_has_a_row(tmp_path, capsys):
    table = from_detections(photos(tmp_path))
    rows = [(str(p).rpartition("/")[2].partition("#")[0], s, r) for p, s, r in zip(table.path, table.status, table.reason)]
    assert rows == [
        ("two.jpg", "ok", ""), ("two.jpg", "ok", ""), ("empty.jpg", "empty", "no animal found"), ("weak.jpg", "empty", "no animal found"),
        ("people.jpg", "empty", "no animal found"), ("bad.jpg", "damaged", "detection without a box"),
        ("tiny.jpg", "tiny", "box smaller than 16 px"), ("failed.jpg", "failed", "the detector failed: Failure image access"),
        ("none.jpg", "failed", "not processed by the detector"), ("film.mp4", "video", "is a video, not a photo"),
        ("None", "no photo", "entry without a file name")]
    assert table.group[0] == table.group[1] == "cod/two.jpg"
    said = capsys.readouterr().out
    assert "1 detections below a confidence of 0.2" in said and "1 detections of the category person" in said
    assert from_detections(tmp_path / "md.json", min_confidence=.05).status.tolist()[3] == "ok"
    assert len(from_detections(tmp_path / "md.json", min_confidence=.5)) == 10


@pytest.mark.parametrize("data", [
    dict(predictions=[dict(filepath="cod/a.jpg", detections=[found(label="animal"), found(category="2", label="human")],
                           prediction="x;y;z", prediction_score=.9, model_version="4.0.1a"),
                      dict(filepath="cod/b.jpg", failures=["DETECTOR", "CLASSIFIER"])]),
    [dict(file="cod/a.jpg", detections=[dict(category="animal", confidence=.93, bbox=[120, 30, 180, 120]),
                                        dict(category="person", confidence=.9, bbox=[1, 2, 90, 99])]),
     dict(file="cod/b.jpg", failure="DETECTOR, CLASSIFIER")],
    dict(images=[dict(file="cod\\a.jpg", detections=[dict(category=1, conf="0.9", bbox=PART)]),
                 dict(file="cod/b.jpg", failure="DETECTOR, CLASSIFIER")], detection_categories={"1": "fish"})])
def test_kin(tmp_path, data):
    "SpeciesNet, Microsoft's MegaDetector, and the Community Fish Detector."
    for n in "ab": draw(tmp_path / f"cod/{n}.jpg")
    (tmp_path / "out.json").write_text(json.dumps(data))
    table = photo_table(tmp_path / "out.json", boxes=BoxOptions(margin=0))
    assert table.status.tolist() == ["ok", "failed"] and redness(table.path[0]) > .95
    assert table.reason[1] == "the detector failed: DETECTOR, CLASSIFIER"


def test_species_and_splits(tmp_path):
    "From folders with a split, from a pattern, and from absolute paths."
    names = ["train/cod/1.jpg", "train/ling/1.jpg", "test/cod/2.jpg"]
    for n in names: draw(tmp_path / "set" / n)
    absolute = [dict(file=(tmp_path / "set" / n).as_posix(), detections=[found()], camera=n[-5]) for n in names]
    for folder, images in ((tmp_path / "set", [dict(file=n, detections=[found()]) for n in names]), (tmp_path / "away", absolute)):
        table = from_detections(write(folder / "md.json", images))
        assert table.label.tolist() == ["cod", "ling", "cod"] and table.split.tolist() == ["train", "train", "test"]
    assert photo_table(tmp_path / "away/md.json", label=r"([^/]+)/\d\.jpg$").label.tolist() == ["cod", "ling", "cod"]
    assert photo_table(tmp_path / "away/md.json", group="camera").group.tolist() == ["1", "1", "2"]
    with pytest.raises(ArgumentError, match="matches none of the 3"): photo_table(tmp_path / "away/md.json", label="^x(.+)")
    with pytest.raises(ArgumentError, match="is from a detector; give it alone"): photo_table([tmp_path / "away/md.json"] * 2)


def test_an_empty_list_of_failures_is_no_failure(tmp_path):
    table = from_detections(write(tmp_path / "md.json", [dict(file="cod/a.jpg", failures=[])]))
    assert table.reason.tolist() == ["not processed by the detector"]


def test_missing_photos_are_left_to_the_later_check(tmp_path):
    table = from_detections(write(tmp_path / "md.json", [dict(file="cod/a.jpg", detections=[found(), found()])]))
    assert table.status.tolist() == ["ok"] and table.path[0] == (tmp_path / "cod/a.jpg").as_posix()


def test_predict_answers_per_animal(tmp_path):
    "A photo without an animal has an answer with the reason; species folders are not needed."
    listed = _list_photos(photos(tmp_path))
    assert [isinstance(p, _Unanswered) for p in listed] == [False, False] + [True] * 8
    assert str(_pixels_or_error(listed[2], None)) == "no animal found"
    assert len(_list_photos(tmp_path / "md.json", BoxOptions(min_confidence=.05))) == 10
    assert redness(_list_photos(tmp_path / "md.json", BoxOptions(margin=0))[0]) > .95


def run(*words):
    "Run a command in this process; return its status."
    with pytest.raises(SystemExit) as end: main([str(w) for w in words])
    return end.value.code or 0


def test_commands(tmp_path, monkeypatch, capsys):
    "Train on boxes with another margin; predict and evaluate cut out the same way, unless told otherwise."
    monkeypatch.chdir(tmp_path)
    rng, images = np.random.default_rng(0), []
    for species, colour in dict(cod=(200, 60, 60), ling=(60, 60, 200)).items():
        for i in range(8):
            scene = Image.fromarray(rng.integers(90, 130, (120, 160, 3), np.uint8))
            scene.paste(colour, (40 + i, 30, 100 + 2 * i, 80 + i))
            (tmp_path / species).mkdir(exist_ok=True)
            scene.save(tmp_path / species / f"{i}.jpg")
            box = [(40 + i) / 160, .25, (60 + i) / 160, (50 + i) / 120]
            images.append(dict(file=f"{species}/{i}.jpg", detections=[found(bbox=box)], location=f"{species}{i % 3}"))
    write(tmp_path / "md.json", [*images, dict(file="cod/0.jpg", detections=[])])
    assert run("train", "md.json", "--out", "m", "--size", 64, "--margin", .3, "--group-col", "location") == 0
    assert json.loads((tmp_path / "m/species.json").read_text())["boxes"]["margin"] == .3
    assert run("predict", "m", "md.json", "--csv", "a.csv") == 0
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert len(rows) == 18 and rows[-1].endswith("no animal found") and rows[1].startswith('"cod/0.jpg#xywh=22,12,')
    assert run("predict", "m", "md.json", "--margin", 0, "--csv", "b.csv") == 0
    assert (tmp_path / "b.csv").read_text().splitlines()[1].startswith('"cod/0.jpg#xywh=40,30,')
    assert run("evaluate", "m", "md.json", "--min-side", 20) == 0
    assert "on 16 photos" in capsys.readouterr().out
    for words in (["check", "cod", "--margin", .2], ["predict", "m", "cod", "--min-side", 3], ["evaluate", "m", ".", "--margin", 0],
                  ["check", "md.json", "--margin", -1], ["check", "md.json", "--label-col", "x"]):
        assert run(*words) == 2 and capsys.readouterr().err.strip(), words


@pytest.mark.parametrize("odd", ODD, ids=lambda v: repr(v)[:12])
def test_odd_values_anywhere(tmp_path, odd):
    draw(tmp_path / "cod/a.jpg")
    whole = dict(images=[dict(file="cod/a.jpg", detections=[found(label="animal")], failure=None, place="A")],
                 detection_categories={"1": "animal"}, info={})
    spots = [(p,) for p in whole] + [("images", 0)] + [("images", 0, k) for k in whole["images"][0]]
    spots += [("images", 0, "detections", 0)] + [("images", 0, "detections", 0, k) for k in ("category", "conf", "bbox", "label")]
    spots += [("images", 0, "detections", 0, "bbox", 2), ("detection_categories", "1")]
    for data in with_value_at(whole, spots, odd):
        (tmp_path / "md.json").write_text(json.dumps(data))
        for options in (dict(), dict(group="place", label=r"(\w)\.jpg")):
            try: assert len(from_detections(tmp_path / "md.json", **options))
            except FishlearnError as e: assert "\n" not in str(e)


@pytest.mark.parametrize("images, why", [([], "names no photos"), ([7], "its images are not all objects")])
def test_what_is_no_detectors_file_is_refused(tmp_path, images, why):
    with pytest.raises((ArgumentError, JobError), match=why): from_detections(write(tmp_path / "md.json", images))


def test_detections_as_plain_lists_are_named(tmp_path, capsys):
    "As very old detectors write them, in an order that is not known."
    old = [.1, .1, .5, .5, .9, 1]
    entries = [dict(file="cod/a.jpg", detections=[old, old]), dict(file="cod/b.jpg", detections=[found(), old])]
    table = from_detections(write(tmp_path / "md.json", entries))
    assert "3 detections without bbox, conf and category" in capsys.readouterr().out
    assert "detections without bbox, conf and category" in table.reason.tolist()
