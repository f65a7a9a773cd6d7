"Model folders: what is refused, and formats that must load for ever."
import json

import pytest
import torch

from fishlearn.data.preprocessing import Preprocessing
from fishlearn.deploy.model_folder import _load_files, _ModelFiles, _save_files
from fishlearn.errors import ArgumentError, JobError
from fishlearn.models.backbones import DEFAULT_ARCH, create_net


@pytest.fixture
def folder(tmp_path):
    "A saved model of two species."
    net = create_net(DEFAULT_ARCH, 2).eval()
    settings = dict(arch=DEFAULT_ARCH, recipe="probe", split="random", multilabel=False)
    return _save_files(_ModelFiles(["cod", "ling"], Preprocessing(64), settings, trained=net), tmp_path / "model")


def describe(folder, **values):
    "Change values of a description."
    file = folder / "species.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_not_a_model_folder(tmp_path):
    with pytest.raises(ArgumentError, match="is not a model folder"): _load_files(tmp_path)


def test_cut_off_weights(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(JobError, match="copy the model folder again"): assert _load_files(folder).net


def test_newer_format(folder):
    describe(folder, format_version=99)
    with pytest.raises(JobError, match="made by a newer fishlearn"): _load_files(folder)


@pytest.mark.parametrize("text", ['{"classes": [', "[]", "{}", '{"format_version": 2}'])
def test_damaged_description(folder, text):
    (folder / "species.json").write_text(text)
    with pytest.raises(JobError, match="copy the model folder again"): _load_files(folder)


@pytest.mark.parametrize("values, expected", [
    (dict(size=[64, 96], fit="pad", several=True), (Preprocessing((64, 96), "pad"), True)),
    (dict(size=64), (Preprocessing(64), False))])
def test_format_1(folder, values, expected):
    "Format 1 had the preprocessing among the other values; the oldest folders had one number as size and no `fit`."
    file = folder / "species.json"
    found = json.loads(file.read_text())
    for name in ("preprocessing", "multilabel"): found.pop(name)
    file.write_text(json.dumps(found | dict(format_version=1, mean=[.5] * 3, std=[.5] * 3) | values))
    loaded = _load_files(folder)
    assert (loaded.preprocessing, loaded.settings["multilabel"]) == expected
    with torch.inference_mode(): assert loaded.net(torch.rand(1, 3, 64, 64)).shape == (1, 2)
