"Whatever is wrong with a photo file is found, and whatever can be used is described."
import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fishlearn.data.inspect import _FACTS, _FINDINGS, inspect_photo
from fishlearn.data.preprocessing import Preprocessing
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.species import SPECIES


@pytest.fixture(autouse=True)
def fish(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fish = draw_photo(SPECIES[0], np.random.default_rng(0), 64)[0].crop((0, 0, 40, 24))
    fish.save("fish.png")
    return fish


def verdict(photo): return inspect_photo(str(photo)).facts[:2]


def test_columns():
    assert _FINDINGS == ("status", "reason", *_FACTS)
    assert _FACTS == ("format", "mode", "width", "height", "camera", "bytes", "sha256")


def test_facts_as_json_are_a_plain_list():
    facts = inspect_photo("fish.png").facts
    assert json.loads(json.dumps(facts)) == ["ok", "", "PNG", "RGB", 40, 24, None, facts.bytes, facts.sha256]


def test_missing_file(): assert inspect_photo("gone.jpg") == (("missing", "file not found", *[None] * 5, 0, None), None)


def test_a_flipped_bit_in_a_png_is_found():
    data = bytearray(Path("fish.png").read_bytes())
    data[-20] ^= 1
    Path("flipped.png").write_bytes(data)
    assert verdict("flipped.png")[0] == "unreadable"


def test_a_decompression_bomb_is_refused():
    head = Path("fish.png").read_bytes()
    ihdr = b"IHDR" + struct.pack(">II", 30000, 30000) + head[24:29]
    Path("bomb.png").write_bytes(head[:12] + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + head[33:])
    assert "bomb" in verdict("bomb.png")[1]


@pytest.mark.parametrize("mode, suffix", [("L", "png"), ("P", "png"), ("1", "png"), ("LA", "png"), ("CMYK", "tif"),
                                          ("CMYK", "jpg")])
def test_every_mode_can_be_read(fish, mode, suffix):
    fish.convert(mode).save(f"mode.{suffix}")
    assert verdict(f"mode.{suffix}")[0] == "ok"


def test_unusual_names(fish):
    fish.save("page.gif")
    for name in ("page.jpg", "page"): Path(name).write_bytes(Path("page.gif").read_bytes())
    assert verdict("page.jpg") == ("ok", "is a GIF named .jpg")
    assert verdict("page") == ("ok", "is a GIF without a file extension")


def test_parts_of_photos():
    outside = "the box 100,0,9,9 lies outside the photo of 40×24 px"
    assert verdict("fish.png#xywh=100,0,9,9") == ("unreadable", outside)
    assert verdict("fish.png#xywh=0,0,30,3") == ("unreadable", "is too small: 30×3 px")
    facts = inspect_photo("fish.png#xywh=30,0,20,20").facts
    assert (facts.width, facts.height) == (10, 20)


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_rotated_photos(fish, resize):
    exif = Image.Exif()
    exif[0x112] = 6
    fish.save("rotated.png", exif=exif)
    shape = Preprocessing((48, 80), resize)
    facts, pixels = inspect_photo("rotated.png", shape)
    assert (facts.width, facts.height) == (24, 40)
    assert (pixels == shape.pixels("rotated.png")).all()


def test_known_contents_are_not_decoded():
    assert inspect_photo("fish.png", Preprocessing(32), known=lambda digest: ("ok", digest)) == \
        (("ok", inspect_photo("fish.png").facts.sha256), None)


def test_a_link_to_itself():
    try: os.symlink("loop.jpg", "loop.jpg")
    except OSError: pytest.skip("no symbolic links here")
    assert verdict("loop.jpg")[0] == "unreadable"
