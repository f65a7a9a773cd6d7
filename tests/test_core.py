"The whole job: same answers on every way, any shape, resuming, moved photos, and what is refused."
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fishlearn.cache import _weights_hash
from fishlearn.core import SpeciesModel, train_species_model
from fishlearn.errors import FishlearnError
from fishlearn.messages import quiet
from fishlearn.samples.fish import sample_fish
from fishlearn.samples.reef import sample_reef

NAMES = r"^(.+)_\d+\.jpg$"


def train(*args, **kwargs):
    "Train without lines and bars."
    with quiet(): return train_species_model(*args, **{"size": 96} | kwargs)


def probabilities(model, paths): return np.stack(model.probabilities(paths).probabilities)


def by_fastai(model, paths):
    "Probabilities as fastai computes them."
    with model.learn.no_bar(): return model.learn.get_preds(dl=model.learn.dls.test_dl(paths))[0]


@pytest.fixture(scope="module")
def fish(tmp_path_factory):
    "A folder of photos, and a model trained on it."
    folder = tmp_path_factory.mktemp("fish") / "fish"
    sample_fish(folder, per_species=10, size=128, broken=1)
    return folder, train(folder)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    "Photos with the species in the file name, longer than high."
    folder = tmp_path_factory.mktemp("names")
    for p in sample_fish(folder, per_species=5, size=128, layout="names").path:
        Image.open(folder / p).crop((0, 24, 128, 104)).save(folder / p)
    return folder


def test_same_answers(fish, tmp_path):
    "PyTorch, fastai, the graph and a loaded model agree; bfloat16 agrees to two digits."
    folder, model = fish
    paths = model.photos.path[model.photos.split == "valid"].tolist()
    model.save(tmp_path / "model")
    ours, loaded = probabilities(model, paths), SpeciesModel.load(tmp_path / "model")
    assert np.allclose(probabilities(loaded, paths), ours, atol=1e-4)
    for m in (model, loaded): assert np.allclose(by_fastai(m, paths), ours, atol=1e-4)
    if shutil.which("benchmark_app"):
        rounded = SpeciesModel.load(tmp_path / "model", precision="bfloat16")
        assert np.allclose(probabilities(rounded, paths), ours, atol=.05)


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_same_pixels_in_a_rectangle(names, tmp_path, resize):
    model = train(names, label=NAMES, resize=resize)
    model.save(tmp_path / "model")
    back, files = SpeciesModel.load(tmp_path / "model"), model.photos.path.tolist()
    assert back.preprocessing == model.preprocessing and back.preprocessing.size == (64, 128)
    ours = probabilities(model, files)
    assert np.allclose(probabilities(back, files), ours, atol=1e-4)
    for m in (model, back): assert np.allclose(by_fastai(m, files), ours, atol=1e-4)


def test_asked_shape(names):
    assert train(names, label=NAMES, size=(64, 80)).preprocessing.size == (64, 80)


def test_old_option_names(names, capsys):
    "`fit` and `keep` still work, and say once what they are called now."
    kwargs = dict(label=NAMES, size=64, max_per_species=4)
    first = train_species_model(names, fit="pad", **kwargs)
    second = train_species_model(names, fit="pad", keep=first.photos, **kwargs)
    said = capsys.readouterr().out
    assert said.count("fit is now called resize") <= 1 and said.count("keep is now called previous_split") == 1
    assert first.preprocessing.resize == second.preprocessing.resize == "pad"
    assert first.photos.set_index("path").split.equals(second.photos.set_index("path").split)


def test_resume(names, tmp_path):
    "A finished run, resumed, is the same model; its folder gets a chart of the training."
    kwargs = dict(label=NAMES, recipe="finetune", epochs=1, run=tmp_path / "run", max_per_species=4)
    model = train(names, **kwargs)
    assert _weights_hash(train(names, resume=True, **kwargs).net) == _weights_hash(model.net)
    assert (model.save(tmp_path / "model") / "training.png").is_file()
    assert (model.settings["chosen_by"], model.settings["balance"]) == ("macro_f1", "none")


def test_copies_stay_together(tmp_path):
    "Copies that nobody named are found, and stay on one side."
    truth = sample_fish(tmp_path / "fish", per_species=4, size=96, copies=2)
    photos = train(tmp_path / "fish").photos
    original = truth.set_index(truth.path.map(lambda p: (tmp_path / "fish" / p).as_posix())).specimen
    kept = photos[photos.status == "ok"]
    assert kept.groupby(original[kept.path].to_numpy()).split.nunique().max() == 1


def test_max_per_species(names):
    photos = train(names, label=NAMES, max_per_species=4).photos
    assert photos[photos.status == "ok"].label.value_counts().max() == 4


def test_several_species(tmp_path, names):
    sample_reef(tmp_path / "reef", photos=24)
    model = train(tmp_path / "reef/labels.csv", label_delim=";")
    model.save(tmp_path / "model")
    loaded, photo = SpeciesModel.load(tmp_path / "model"), tmp_path / "reef/images/0000.jpg"
    assert loaded.predict(photo).species.tolist() == model.predict(photo).species.tolist()
    assert loaded.evaluate(tmp_path / "reef/labels.csv").metrics()["n"] == 24
    with pytest.raises(FishlearnError, match="the model names one per photo"):
        train(names, label=NAMES, max_per_species=4).evaluate(tmp_path / "reef/labels.csv", label_delim=";")


def test_moved_photos(fish, tmp_path):
    "A model whose photos have moved still has a Learner that predicts."
    folder, model = fish
    model.save(tmp_path / "model")
    moved = shutil.move(folder, folder.with_name("moved"))
    try:
        paths = [str(f) for f in sorted(Path(moved).rglob("*.jpg"))[:4] if f.stat().st_size > 1000]
        elsewhere = SpeciesModel.load(tmp_path / "model")
        assert np.allclose(by_fastai(elsewhere, paths), probabilities(model, paths), atol=1e-4)
    finally: shutil.move(moved, folder)


def test_fastai_interpretation(fish):
    "fastai's own interpretation sees the same confusion and the same top losses."
    _, model = fish
    rows = model.photos[model.photos.split == "valid"]
    with model.learn.no_bar():
        interp = model.evaluation.interpretation(model.learn, model.learn.dls.test_dl(rows, with_labels=True))
        assert (interp.confusion_matrix() == model.evaluation.confusion).all()
        assert interp.top_losses(3, items=True)[2].path.tolist() == model.evaluation.top_losses(3).path.tolist()
        assert len(interp.most_confused()) == len(model.evaluation.most_confused())


@pytest.mark.parametrize("options, sentence", [
    (dict(recipe="prob"), "write one of: auto, probe, finetune"), (dict(flipp=False), "There is no option 'flipp'"),
    (dict(arch="resnet35"), "There is no arch 'resnet35'"), (dict(resize="crop"), "write one of: squish, pad"),
    (dict(size=(192, 16)), "16"), (dict(label="^x(.+)"), "matches none of the"), (dict(weights="gone.pth"), "gone.pth"),
    (dict(previous_split=["found"]), "must be a model folder, a CSV file or a photo table"),
    (dict(valid=.8, test=.3), "0.8")], ids=lambda v: next(iter(v)) if isinstance(v, dict) else "")
def test_refused(fish, options, sentence):
    with pytest.raises(FishlearnError, match=sentence): train_species_model(fish[0], **options)


def test_refused_sources(fish, tmp_path):
    folder, model = fish
    sample_fish(tmp_path / "one", per_species=[4] + [0] * 8, size=64)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(FishlearnError, match="no photos"): train(tmp_path / "nothing")
    with pytest.raises(FishlearnError, match="of one species"): train(tmp_path / "one")
    with pytest.raises(FishlearnError, match="no column 'kind'"): train(folder / "labels.csv", label="kind")
    with pytest.raises(FishlearnError, match="does not know"): model.evaluate(folder, label=lambda p: "eel")
    model.save(tmp_path / "model")
    with pytest.raises(FishlearnError, match="exists already"): model.save(tmp_path / "model")


def test_single_photo_of_a_species(tmp_path):
    "A species with one photo is used for training and listed as not evaluated."
    sample_fish(tmp_path, per_species=[8, 8, 1, 0, 0, 0, 0, 0, 0], size=64)
    model = train(tmp_path, size=64)
    assert model.metrics["per_species"]["Delineops punctatus"]["support"] == 0
