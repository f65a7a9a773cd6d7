"Whatever is on the disk, every broken photo is found, and nothing stops the check."
import io
import os
import random
import re
import shutil
import struct
import time
import zlib
from pathlib import Path

import loky
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fishlearn.cache import cache_table, clear
from fishlearn.data.folders import from_folder
from fishlearn.data.health import _inspect_all, check_photos, decode_all
from fishlearn.data.preprocessing import Preprocessing
from fishlearn.data.workers import _map_batches
from fishlearn.samples.fish import sample_fish


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FISHLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def halve(numbers):
    if 0 in numbers: os._exit(1)
    return [n / 2 for n in numbers]


def test_a_slow_consumer_gets_every_batch():
    seen = []
    for batch, _ in _map_batches(halve, [[n] for n in (2, 0, 4, 6, 8, 10)], ahead=2):
        seen.append(batch)
        time.sleep(.1)
    assert sorted(seen) == [[0], [2], [4], [6], [8], [10]]


def test_a_photo_that_takes_too_long_costs_only_itself():
    truth = sample_fish("fish", per_species=4, size=96, broken=3)
    Image.effect_noise((9000, 9000), 100).save("slow.png", compress_level=1)
    paths = [*from_folder("fish").path, "slow.png"]
    facts = _inspect_all(paths, seconds=.4, batch_size=8)
    unreadable = set(np.array(paths)[facts.status == "unreadable"])
    assert {*("fish/" + truth.path[truth.broken]), "slow.png"} <= unreadable
    assert facts.reason.iloc[-1] == "took longer than 0.4 seconds, or crashed the process that read it"


def test_the_current_folder_does_not_matter(monkeypatch):
    sample_fish("fish", per_species=2, size=64)
    here = check_photos("fish")
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert (check_photos("../fish").status == "ok").sum() == (here.status == "ok").sum() == 18


def decoded_again(photos):
    entries = lambda: cache_table().query("kind.str.startswith('pixels 64')").entries.sum()
    before = entries()
    decode_all(photos, 64)
    return entries() - before


def test_photos_and_copies_of_them_are_decoded_once():
    sample_fish("fish", per_species=1, size=64)
    assert decoded_again("fish") == 9
    shutil.copytree("fish", "copy")
    assert [decoded_again("fish"), decoded_again("copy")] == [0, 0]


def test_emptying_the_cache_costs_only_time():
    sample_fish("fish", per_species=1, size=64)
    table, decoded = decode_all("fish", 64)
    pixels = decoded.at(table.path.tolist())
    clear()
    assert (decoded.at(table.path.tolist()) == pixels).all()


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_squares_from_rectangles(resize):
    truth = sample_fish("fish", per_species=1, size=96)
    photo, shape = Image.open("fish/" + truth.path[0]), Preprocessing((96, 160), resize)
    photo.resize((300, 100)).save("long.png")
    photo.resize((100, 160)).save("tall.png")
    paths = ["long.png", "tall.png"]
    _, decoded = decode_all(pd.DataFrame(dict(path=paths, label="fish")), shape)
    assert (decoded.size, list(decoded.aspects.values())) == ((96, 160), [3, .625])
    assert (decoded.at(paths) == np.stack([shape.pixels(p) for p in paths])).all()
    direct = np.stack([Preprocessing(64).pixels(p) for p in paths])
    assert np.abs(decoded.squares(paths, 64).astype(float) - direct).mean() < 3


def bomb(data):
    "The same file, with a header that claims 30,000 × 30,000 pixels."
    if data[:2] == b"\xff\xd8":
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", 30000, 30000) + data[at + 4:]
    head = b"IHDR" + struct.pack(">II", 30000, 30000) + data[24:29]
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


def flip(data, rng):
    "The same file with eight flipped bits."
    out = bytearray(data)
    for _ in range(8): out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def dot():
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "PNG")
    return out.getvalue()


SPOIL = dict(cut=lambda d, rng: d[:rng.randrange(1, len(d) - 1)], flip=flip, empty=lambda d, rng: b"",
             text=lambda d, rng: b"<html>404 Not Found</html>", dot=lambda d, rng: dot(), bomb=lambda d, rng: bomb(d),
             wrong=lambda d, rng: d)
TIMES = dict(cut=8, flip=8, empty=1, text=1, dot=1, bomb=1, wrong=1)


def write_copies():
    "Intact copies of some photos, to be broken later; a table with one row each."
    sample_fish("jpg", per_species=2, size=128)
    sample_fish("png", per_species=1, size=128, ext="png")
    rows = []
    for source in [*from_folder("jpg").path, *from_folder("png").path]:
        for how in [how for how, times in TIMES.items() for _ in range(times)]:
            ending = Path(source).suffix
            file = Path("broken", how, f"{len(rows)}{'.gif' if how == 'wrong' else ending}")
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, file)
            rows.append((file.as_posix(), "fish", how, ending))
    return pd.DataFrame(rows, columns=["path", "label", "how", "ending"])


def peak():
    "Largest memory of this process so far, MB, on Linux."
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024


def test_hundreds_of_broken_files():
    photos, rng = write_copies(), random.Random(0)
    assert len(photos) >= 300
    before = check_photos(photos[photos.how != "wrong"])
    assert set(before.status) == {"ok"}
    for row in photos.itertuples(): Path(row.path).write_bytes(SPOIL[row.how](Path(row.path).read_bytes(), rng))
    start = time.perf_counter()
    after = check_photos(photos).assign(**photos[["how", "ending"]])
    assert time.perf_counter() - start < 60
    found = after.assign(found=after.reason != "").groupby(["how", "ending"]).found.mean()
    assert (found.drop(("flip", ".jpg")) == 1).all(), "only flipped bits in a JPEG can go unnoticed"
    assert (check_photos(before).status != "ok").all(), "but not if the hashes are known"
    if Path("/proc/self/status").exists():
        assert max(loky.get_reusable_executor(timeout=60).submit(peak).result() for _ in range(8)) < 1000
