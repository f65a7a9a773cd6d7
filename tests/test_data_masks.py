"Masks are found in every layout, and what only looks like masks stays a photo."
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fishlearn.data.find import find_photos
from fishlearn.data.masks import find_masks
from fishlearn.samples.fish import _mask_path, sample_fish


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kaggle")
    return folder, sample_fish(folder, per_species=6, size=64, layout="kaggle")


@pytest.fixture
def layout(source, tmp_path):
    "The same photos and masks in another arrangement."
    folder, truth = source
    def arrange(photo, mask):
        for p in truth.itertuples():
            for old, new in ((p.path, photo), (_mask_path(p.path), mask)):
                target = tmp_path / new.format(s=p.label, n=p.number)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((folder / old).read_bytes())
        return tmp_path
    return arrange


@pytest.mark.parametrize("photo, mask", [
    ("{s}/{n}.jpg", "{s}/{n}_mask.png"),
    ("images/{s}/fish_{n}.jpg", "masks/{s}/mask_{n}.png"),
    ("{s}/{n}.jpg", "{s} outlines/{n}.png"),
    ("{s} {n}.jpg", "annotations/{s} {n}.png"),
])
def test_masks_are_found_in_every_layout(layout, photo, mask):
    root = layout(photo, mask)
    found = find_masks(root, find_photos(root))
    assert (len(found), {p and p.suffix for p in found.values()}) == (54, {".jpg"})


def test_a_folder_of_photos_whose_name_ends_in_gt(layout, source):
    root = layout("{s}/{n}.jpg", "{s}/{n}.jpg")
    (root / "Delineops altus").rename(root / "Delineops GT")
    for i, p in enumerate(source[1].path[:6]):
        (root / f"Delineops GT/{i + 1}.jpg").write_bytes((source[0] / p).read_bytes())
    assert find_masks(root, find_photos(root)) == {}


def test_photos_taken_at_night(layout):
    root = layout("{s}/{n}.jpg", "{s}/{n}.jpg")
    dark = Image.fromarray(np.random.default_rng(0).integers(0, 12, (64, 64, 3), np.uint8))
    for p in (root / "Delineops altus").glob("*"): dark.save(p)
    assert find_masks(root, find_photos(root)) == {}


def test_broken_masks_are_masks_like_those_around_them(layout):
    root = layout("{s}/{n}.png", "{s} GT/{n}.png")
    broken = sorted((root / "Delineops altus GT").glob("*"))
    broken[1].write_bytes(broken[1].read_bytes()[:60])
    Image.new("F", (64, 64)).save(broken[2], "TIFF")
    if hasattr(os, "mkfifo"):
        broken[3].unlink()
        os.mkfifo(broken[3])
    assert len(find_masks(root, find_photos(root))) == 54


def test_black_and_white_prints_only(layout):
    root = layout("{s}/{n}.png", "{s}/{n}.png")
    assert find_masks(root, find_photos(root)) == {}


def test_one_species_of_prints_among_photos(layout):
    "The masks of one species stand for the prints of another, with the numbers and the size of the photos."
    root = layout("{s}/{n}.jpg", "all masks/{s} {n}.png")
    (root / "prints").mkdir()
    masks = sorted((root / "all masks").glob("Fictiops*.png"))
    for i, p in enumerate(masks[:6]): p.rename(root / f"prints/{i + 1}.png")
    for p in (root / "all masks").glob("*.png"): p.unlink()
    photos = find_photos(root)
    assert (len(photos), find_masks(root, photos)) == (60, {})


def test_a_folder_without_masks(tmp_path): assert find_masks(Path(tmp_path), []) == {}
