"The promises, held on real photos. They are not ours to publish: set FISHLEARN_DATA to the folder that holds them."
import json, os, shutil, subprocess, sys
from pathlib import Path

import pandas as pd
import pytest

DATA = Path(os.environ.get("FISHLEARN_DATA", "no-such-folder")).resolve()
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="FISHLEARN_DATA is not set, so the real photos are not tested")

BREEDS = r"^(.+)_\d+\.jpg$"


def fishlearn(*words):
    "Run a command as a user would; hand back what it printed."
    done = subprocess.run([sys.executable, "-m", "fishlearn.cli", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(model): return json.loads((model / "species.json").read_text(encoding="utf-8"))["metrics"]


@pytest.mark.parametrize("photos, options, name, least", [
    ("seafish/labels.csv", ["--label-col", "label", "--group-col", "specimen"], "accuracy", .95),
    ("f4k/labels.csv", ["--label-col", "label", "--group-col", "trajectory", "--size", "128"], "macro_f1", .65)], ids=["seafish", "f4k"])
def test_train(tmp_path, photos, options, name, least):
    fishlearn("train", DATA / photos, *options, "--out", tmp_path / "model")
    assert figures(tmp_path / "model")[name] >= least
    table = pd.read_csv(tmp_path / "model" / "photos.csv")
    assert table.groupby("group").split.nunique().max() == 1


def test_other_photos(tmp_path):
    "Trained with nothing held out, a model knows photos it has not seen."
    files = sorted((DATA / "pets/images").glob("*.jpg"))
    for i, f in enumerate(files):
        side = tmp_path / ("other" if i % 5 == 0 else "seen")
        side.mkdir(exist_ok=True)
        shutil.copy(f, side)
    fishlearn("train", tmp_path / "seen", "--label-re", BREEDS, "--valid", 0, "--out", tmp_path / "model")
    said = fishlearn("evaluate", tmp_path / "model", tmp_path / "other", "--label-re", BREEDS, "--json", tmp_path / "figures.json")
    assert "trained on" not in said
    assert json.loads((tmp_path / "figures.json").read_text())["accuracy"] >= .87


def test_odd_files(tmp_path):
    "A GIF and a transparent PNG that call themselves .jpg are photos all the same."
    shutil.copytree(DATA / "pets/quirks", tmp_path / "quirks")
    fishlearn("train", DATA / "pets/images", "--label-re", "^(Abyssinian|beagle)_", "--out", tmp_path / "model")
    fishlearn("predict", tmp_path / "model", tmp_path / "quirks", "--csv", tmp_path / "answers.csv")
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert answers.reason.isna().all() and (answers.species == "Abyssinian").all()
