"Photos and inputs that are named as targets, whatever their names."
import json
from pathlib import Path

import pytest

from fishlearn.commands.check import check
from fishlearn.commands.common import _check_targets
from fishlearn.commands.predict import evaluate, predict
from fishlearn.commands.tools import bench
from fishlearn.commands.train import _train_and_save
from fishlearn.errors import ArgumentError

PPM = "P3 2 2 255 " + "1 2 3 " * 4


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", "model"): Path(folder).mkdir()
    Path("photos/odd.dat").write_text(PPM)
    Path("p.csv").write_text("path,label\nphotos/odd.dat,cod\nphotos/gone.jpg,ling\n")
    boxes = [dict(id=1, image_id=1, bbox=[0, 0, 2, 2], category_id=1)]
    coco = dict(images=[dict(id=1, file_name="photos/odd.dat")], annotations=boxes, categories=[dict(id=1, name="cod")])
    Path("boxes.json").write_text(json.dumps(coco))
    Path("model/species.json").write_text("{}")
    Path("model/photos.csv").write_text("path,label,boat\n")
    Path("photos/x.png").write_bytes(b"\x89PNG\0Software\0Matplotlib version3.9")


@pytest.mark.parametrize("command", [
    lambda table, odd: check(table, csv=odd), lambda table, odd: check(table, json_file=odd), lambda table, odd: check(table, html=odd),
    lambda table, odd: predict("model", [table], csv=odd), lambda table, odd: evaluate("model", table, json_file=odd),
    lambda table, odd: bench(table, csv=odd)])
@pytest.mark.parametrize("table", ["p.csv", "boxes.json"])
def test_photos_of_any_name(command, table):
    with pytest.raises(ArgumentError, match="odd.dat is one of the photos and is not overwritten; name another"):
        command(table, Path("photos/odd.dat"))
    assert Path("photos/odd.dat").read_text() == PPM


def test_a_chart_among_the_photos():
    with pytest.raises(ArgumentError, match="x.png is a photo"): _check_targets("photos", chart=Path("photos/x.png"))
    _check_targets("p.csv", chart=Path("photos/x.png"))


@pytest.mark.parametrize("photos, options", [("model/photos.csv", {}), ("model", {}), ("photos", dict(previous_split="model/photos.csv"))])
def test_inputs_in_the_model_that_is_replaced(photos, options):
    with pytest.raises(ArgumentError, match="is one of the inputs, so model is not replaced"):
        _train_and_save(photos, None, Path("model"), False, True, options)
