"Prediction: which photos are meant, and answers that don't depend on batches or threads."
import numpy as np
import pandas as pd
import pytest

from fishlearn.data.preprocessing import Preprocessing
from fishlearn.deploy.predict import _in_threads, _list_photos, _predict_photos
from fishlearn.errors import JobError
from fishlearn.models.backbones import DEFAULT_ARCH, create_net
from fishlearn.models.engines import onnx_engine, write_graph
from fishlearn.samples.fish import sample_fish


def test_box_with_many_corners():
    "A path with a long outline is one photo."
    box = "fish/reef.jpg#xywh=1,2,30,40&outline=" + ",".join(["10"] * 1000)
    assert _list_photos(box) == [box]


def test_photo_table(tmp_path):
    "Masks are skipped; rows without a path or a label are not, so that every row has its answer."
    rows = pd.DataFrame(dict(path=["a.jpg", "b.jpg", "b.png", None], label=["cod"] + [None] * 3,
                             status=["ok", "unlabelled", "mask", "no path"], reason=["", "no label", "mask of b.jpg", "no path"]))
    rows.to_csv(tmp_path / "checked.csv", index=False)
    assert _list_photos(rows) == ["a.jpg", "b.jpg", ""]
    assert _list_photos(tmp_path / "checked.csv") == [*((tmp_path / name).as_posix() for name in ("a.jpg", "b.jpg")), ""]


def test_labels_csv(tmp_path):
    truth = sample_fish(tmp_path, per_species=1, size=64)
    assert _list_photos(tmp_path / "labels.csv") == [(tmp_path / p).as_posix() for p in truth.path]


def test_error_in_a_thread():
    with pytest.raises(ZeroDivisionError): list(_in_threads(lambda n: 1 / n, [1, 0, 1], 2))


def test_batches_do_not_matter(tmp_path):
    "How photos are grouped into batches does not change an answer, and neither does a bad neighbour."
    sample_fish(tmp_path / "fish", per_species=2, size=64, broken=1)
    write_graph(create_net(DEFAULT_ARCH, 9).eval(), tmp_path / "model.onnx", size=(64, 96))
    photos, engine = _list_photos(tmp_path / "fish"), onnx_engine(tmp_path / "model.onnx")
    one, many = (_predict_photos(engine, photos, Preprocessing((64, 96)), bs=bs).probabilities for bs in (1, 8))
    for a, b in zip(one, many): assert (a is None and b is None) or np.allclose(a, b, atol=1e-5)


def test_every_row_has_an_answer_in_its_place(tmp_path):
    "Also rows without a path, with an address, with a path twice, and names that are not UTF-8."
    truth = sample_fish(tmp_path, per_species=1, size=32)
    (tmp_path / "new.csv").write_text(f"path,note\n{truth.path[0]},a\n,b\nhttps://example.org/1.jpg,c\n{truth.path[0]},d\ngone.jpg,e\n")
    def engine(x): return np.zeros((len(x), 2))
    engine.bs = 2
    photos = _list_photos(tmp_path / "new.csv")
    found = _predict_photos(engine, photos, Preprocessing(32))
    assert found.reasons == ["", "no path", "is an address: download the photo first", "", "file not found"]
    assert [p is None for p in found.probabilities] == [False, True, True, False, True]


def test_an_empty_folder_among_others_has_its_row(tmp_path):
    (tmp_path / "empty").mkdir()
    photos = _list_photos([tmp_path / "empty", "a.jpg"])
    assert photos == [(tmp_path / "empty").as_posix(), "a.jpg"] and photos[0].reason.startswith("There are no photos in")
    with pytest.raises(JobError, match="There are no photos in"): _list_photos([tmp_path / "empty"])
