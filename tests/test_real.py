"The promises, held on real photos. They are not ours to publish: set FISHLEARN_DATA to the folder that holds them."
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from fishlearn.data.folders import from_name_re
from fishlearn.data.health import decode_all
from fishlearn.data.photos import photo_table
from fishlearn.data.tables import from_csv
from fishlearn.splits.copies import find_copies
from fishlearn.splits.copies_report import pair_scores
from fishlearn.splits.leaks import leak_report
from fishlearn.splits.split import cap_species, split_photos

DATA = Path(os.environ.get("FISHLEARN_DATA", "no-such-folder")).resolve()
pytestmark = [pytest.mark.no_cover, pytest.mark.skipif(
    not DATA.is_dir(), reason="FISHLEARN_DATA is not set, so the real photos are not tested")]

BREEDS = r"^(.+)_\d+\.jpg$"


def fishlearn(*words):
    "Run a command as a user would; hand back what it printed."
    done = subprocess.run([sys.executable, "-m", "fishlearn.cli", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def figures(model): return json.loads((model / "species.json").read_text(encoding="utf-8"))["metrics"]


@pytest.mark.parametrize("photos, options, name, least", [
    ("seafish/labels.csv", ["--label-col", "label", "--group-col", "specimen", "--size", "192"], "accuracy", .95),
    ("f4k/labels.csv", ["--label-col", "label", "--group-col", "trajectory", "--size", "128", "--max-per-species", "100"], "macro_f1", .65)], ids=["seafish", "f4k"])
def test_train(tmp_path, photos, options, name, least):
    fishlearn("train", DATA / photos, *options, "--out", tmp_path / "model")
    assert figures(tmp_path / "model")[name] >= least
    table = pd.read_csv(tmp_path / "model" / "photos.csv")
    assert table[table.status == "ok"].groupby("group").split.nunique().max() == 1


@pytest.mark.parametrize("photos, group", [("f4k", "trajectory"), ("seafish", "specimen")])
def test_split_shares(photos, group):
    "Of every species with fifty photos in ten groups about a tenth is tested and a fifth validated on, and no group straddles."
    table = photo_table(pd.read_csv(DATA / photos / "labels.csv", dtype=str).drop(columns="split", errors="ignore"), group=group)
    cut = split_photos(table, valid=.2, test=.1)
    assert cut.groupby("group").split.nunique().max() == 1
    sizes = cut.groupby("label").agg(photos=("path", "size"), units=("group", lambda g: g.nunique() + g.isna().sum()))
    shares = pd.crosstab(cut.label, cut.split, normalize="index")[(sizes.photos >= 50) & (sizes.units >= 10)]
    assert (shares.valid - .2).abs().max() < .06 and (shares.test - .1).abs().max() < .04
    assert (shares.valid - .2).abs().mean() < .02


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
    "A GIF and a transparent PNG that call themselves .jpg are photos all the same, and their rows say so."
    fishlearn("check", DATA / "pets", "--label-re", BREEDS, "--csv", tmp_path / "photos.csv")
    table = pd.read_csv(tmp_path / "photos.csv")
    odd = table[table.path.str.contains("/quirks/")]
    assert len(table) == 1149 and (table.status == "ok").all() and (odd.label == "Abyssinian").all()
    assert sorted(odd.reason) == ["is a GIF named .jpg", "is a PNG named .jpg"] and table.reason.notna().sum() == 2
    fishlearn("train", DATA / "pets/images", "--label-re", "^(Abyssinian|beagle)_", "--out", tmp_path / "model")
    fishlearn("predict", tmp_path / "model", DATA / "pets/quirks", "--csv", tmp_path / "answers.csv")
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert answers.reason.isna().all() and (answers.species == "Abyssinian").all()


def test_copies_seafish():
    "The turned copies of each photograph are found, and the published split is seen to leak."
    table = from_csv(DATA / "seafish/labels.csv", group="specimen")
    checked, decoded = decode_all(table)
    copies = find_copies(checked.assign(group=None), decoded=decoded)
    known = table.group.notna()
    scores = pair_scores(copies.table.group[known], table.group[known])
    assert scores["precision"] >= .99 and scores["recall"] >= .98, scores
    given = split_photos(checked[known])
    held, train = given[given.split != "train"], given[given.split == "train"]
    truly = held.path[held.group.isin(train.group)]
    assert set(leak_report(given, copies, decoded).copied.path) == set(truly) and len(truly) > .85 * len(held)


def test_copies_pets_and_f4k():
    "Hardly a pet has a twin, and no fish of one species is taken for a copy of another."
    pets, label = find_copies(from_name_re(DATA / "pets/images", BREEDS)), lambda copies: dict(zip(copies.table.path, copies.table.label))
    assert pets.table.group.notna().mean() < .005
    fish = find_copies(cap_species(from_csv(DATA / "f4k/labels.csv"), 50))
    same = fish.pairs[fish.pairs.kind != "another frame"]
    assert len(same) and (same.a.map(label(fish)) == same.b.map(label(fish))).all()
    assert fish.table.dropna(subset="group").groupby("group").label.nunique().max() == 1


@pytest.mark.parametrize("above", [False, True])
def test_kaggle_layout(tmp_path, above):
    "Nine species, every mask kept apart and paired with its photo, the originals a set of their own."
    shutil.copytree(DATA / "seafish/kaggle_layout", tmp_path / "kaggle_layout")
    table = photo_table(tmp_path if above else tmp_path / "kaggle_layout")
    ok, masks = table[table.status == "ok"], table[table.status == "mask"]
    assert (ok.label.nunique(), len(ok), len(masks)) == (9, 162, 108)
    paired = ok[ok["mask"].notna()]
    assert set(paired["mask"]) == set(masks.path)
    assert (paired["mask"].str.replace(" GT/", "/") == paired.path).all()
    assert sorted(Path(s).name for s in ok["set"].unique()) == ["Fish_Dataset", "NA_Fish_Dataset"]
