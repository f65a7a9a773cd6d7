"Copies are found in any decoded shape, and a cached result is used only if it has the right form."
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from fishlearn.cache import _content_name, get
from fishlearn.data.health import decode_all
from fishlearn.data.preprocessing import Preprocessing
from fishlearn.samples.fish import sample_fish
from fishlearn.splits.copies import _METHOD, _content_hashes, _decoding_key, _is_valid_result, find_copies
from fishlearn.splits.copies_report import copies_summary, pair_scores

BICUBIC = Image.Resampling.BICUBIC


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    "Nine photos that are wider than high, each with three copies."
    home = tmp_path_factory.mktemp("long")
    sample_fish(home / "fish", per_species=1)
    rng, rows = np.random.default_rng(0), []
    for original in sorted((home / "fish").rglob("*.jpg")):
        photo = Image.open(original).crop((0, 40, 256, 200))
        copies = [photo, photo.rotate(rng.uniform(3, 357), BICUBIC), photo.resize((120, 75)),
                  ImageOps.mirror(photo).rotate(rng.uniform(3, 357), BICUBIC)]
        for i, copy in enumerate(copies):
            file = home / f"{original.parent.name}-{i}.jpg"
            copy.save(file, quality=80)
            rows.append((file.as_posix(), original.parent.name))
    return pd.DataFrame(rows, columns=["path", "label"])


@pytest.fixture(scope="module")
def found(photos): return find_copies(photos)


@pytest.mark.parametrize("size, resize, key", [
    (128, "squish", "128"), ((96, 160), "squish", "96×160 squish"), ((96, 160), "pad", "96×160 pad")])
def test_any_decoded_shape(photos, size, resize, key):
    "Pixels decoded for a network serve as well."
    table, decoded = decode_all(photos, Preprocessing(size, resize))
    assert _decoding_key(decoded) == key
    scores = pair_scores(find_copies(table, decoded=decoded).table.group, photos.label)
    assert scores["precision"] == 1 and scores["recall"] >= .95


def test_order_of_rows_does_not_matter(photos, found):
    again = find_copies(photos[::-1]).table
    assert dict(zip(again.path, again.group)) == dict(zip(found.table.path, found.table.group))


def test_groups_keep_their_names_elsewhere(photos, found, tmp_path):
    moved = photos.assign(path=[(tmp_path / Path(p).name).as_posix() for p in photos.path])
    for old, new in zip(photos.path, moved.path): Path(new).write_bytes(Path(old).read_bytes())
    assert find_copies(moved).table.group.tolist() == found.table.group.tolist()


def test_found_groups_join_those_of_the_table(found):
    again = find_copies(found.table.assign(group="one trip"))
    assert again.table.group.nunique() == 1


@pytest.mark.parametrize("kept", [None, [], {}, dict(found=[], facts=[], part=[0], line=.9), dict(found=1)])
def test_wrong_results_are_not_used(kept):
    assert not _is_valid_result(kept, 2)


def test_cached_result_is_used(photos, found, monkeypatch):
    name = _content_name("copies", _METHOD, "128", *_content_hashes(photos.assign(status="ok")))
    kept = get(name)
    assert _is_valid_result(kept, len(photos)) and kept["line"] == found.threshold
    monkeypatch.setattr("fishlearn.splits.copies.get", lambda asked: kept | dict(line=.81) if asked == name else None)
    assert find_copies(photos).threshold == .81


def test_copies_with_two_labels_are_named(found):
    wrong = found.table.label.where(found.table.index > 0, "cod")
    found = find_copies(found.table.assign(label=wrong))
    assert "copies with different labels" in " ".join(copies_summary(found))


def test_no_usable_photo(photos):
    nothing = find_copies(pd.DataFrame(dict(path=["nowhere.jpg"], label="cod")))
    assert copies_summary(nothing) == ["none of the 1 photos could be searched for copies, because none can be used"]
