"JPEGs that every viewer opens are used, with a note; missing pixels and bombs are found."
import io
import math
import re
import struct

import numpy as np
import pytest
from PIL import Image

from fishlearn.data import jpeg
from fishlearn.data.inspect import inspect_photo
from fishlearn.data.reading import _MAX_SCANS, _orientation_of, read_photo
from fishlearn.data.shape import _photo_size
from fishlearn.errors import JobError
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.species import SPECIES


@pytest.fixture(scope="module")
def fish(): return draw_photo(SPECIES[0], np.random.default_rng(0), 128)[0].crop((0, 24, 128, 104))


def saved(im, **options):
    out = io.BytesIO()
    im.save(out, "JPEG", **{"quality": 95} | options)
    return out.getvalue()


def before(mark, insert):
    def change(data):
        at = data.index(mark)
        return data[:at] + insert + data[at:]
    return change


def part(marker, contents, length=None): return bytes((255, marker)) + (length or len(contents) + 2).to_bytes(2, "big") + contents


HEADER = "has junk or broken metadata before its pixels"
DQT, SOS = b"\xff\xdb", b"\xff\xda"
ODD = {
    "junk before a marker": (before(DQT, b"\x11\x22\x33\x44\x55"), HEADER),
    "escaped junk": (before(DQT, b"\0\0\xff\0"), HEADER),
    "junk after the start": (lambda d: d[:2] + b"\0junk" + d[2:], HEADER),
    "junk before the pixels": (before(SOS, b"junk"), HEADER),
    "short APP14": (before(DQT, part(0xee, b"Adobe\0")), "has broken metadata"),
    "truncated APP14": (before(DQT, part(0xee, b"Adobe\0\x64", 14)), HEADER),
    "unknown colour transform": (before(DQT, part(0xee, b"Adobe\0\x64\0\0\0\0\x09")), None),
    "bad ICC": (before(DQT, part(0xe2, b"ICC_PROFILE\0\x01")), None),
    "ICC out of order": (before(DQT, part(0xe2, b"ICC_PROFILE\0\x05\x02" + bytes(30))), None),
    "empty EXIF": (before(DQT, part(0xe1, b"Exif\0\0")), ""),
    "EXIF of nothing": (before(DQT, part(0xe1, b"Exif\0\0MM\0*\xff\xff\xff\xff")), ""),
    "short JFIF": (lambda d: d.replace(d[2:20], part(0xe0, b"JFIF\0\1"), 1), None),
    "JFIF of another version": (lambda d: d[:11] + b"\x07" + d[12:], HEADER),
    "bad MPF": (before(DQT, part(0xe2, b"MPF\0II*\0\x08\0\0\0\1\0")), None),
    "wrong bits in the scan header": (lambda d: d.replace(b"\0\x3f\0", b"\0\x3e\0"), "has extra bytes and may be damaged"),
    "bytes after the end": (lambda d: d + b"trailing bytes of a maker" * 9, "has more bytes after its end"),
    "other bytes in place of the end": (lambda d: d[:-2] + bytes(9), None),
    "no mark at the end": (lambda d: d[:-2], "lacks the mark at its end"),
}


@pytest.mark.parametrize("how", ODD)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_photos_that_every_viewer_opens(fish, tmp_path, how, mode):
    change, note = ODD[how]
    sound = saved(fish.convert(mode))
    odd = change(sound)
    assert odd != sound
    (tmp_path / "odd.jpg").write_bytes(odd)
    facts = inspect_photo(str(tmp_path / "odd.jpg")).facts
    assert (facts.status, facts.width, facts.height) == ("ok", 128, 80)
    if note is not None: assert facts.reason == note
    assert (np.asarray(read_photo(odd)) == np.asarray(read_photo(sound))).all()


@pytest.mark.parametrize("options", [{}, dict(progressive=True)])
@pytest.mark.parametrize("fraction", [.3, .6, .97])
@pytest.mark.parametrize("how", ["junk before a marker", "bad ICC"])
def test_missing_pixels_are_found_whatever_else_is_wrong(fish, options, fraction, how):
    data = saved(fish, **options)
    cut = data[:int(len(data) * fraction)]
    for broken in (cut, ODD[how][0](cut) if DQT in cut else cut):
        with pytest.raises(JobError, match="not readable as a photo|cannot be opened"): read_photo(broken)


def exif_entry(kind, n, value): return b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12" + struct.pack(">HI4s", kind, n, value) + bytes(4)


@pytest.mark.parametrize("exif", [exif_entry(2, 4, b"six\0"), exif_entry(3, 1, b"\0\0\0\0"), exif_entry(3, 1, b"\0\x09\0\0"),
                                  exif_entry(3, 1, b"\xff\xff\0\0"), exif_entry(7, 2, b"\x06\x06\0\0"),
                                  exif_entry(5, 1, b"\0\0\0\x08"), exif_entry(11, 1, struct.pack(">f", 6.5)),
                                  exif_entry(4, 1, b"\xff" * 4), exif_entry(13, 90, b"\xff" * 4), b"Exif\0\0", b"Exif\0\0MM\0*"])
def test_an_orientation_that_is_none_is_upright(fish, tmp_path, exif):
    for suffix, options in (("jpg", {}), ("png", {}), ("webp", dict(lossless=True)), ("avif", {}), ("heic", {})):
        if suffix == "heic": pytest.importorskip("pillow_heif").register_heif_opener()
        file = tmp_path / f"odd.{suffix}"
        try: fish.save(file, exif=exif, **options)
        except Exception: continue
        facts = inspect_photo(str(file)).facts
        assert (facts.status, facts.width, facts.height, read_photo(file, 32).size[0] > 32) == ("ok", 128, 80, True)
        assert _photo_size(str(file)) == (128, 80)


@pytest.mark.parametrize("found", ["6", (6, 6), [6], 0, 9, 65535, 6.5, -1, b"\x06", None, {}])
def test_only_numbers_from_1_to_8_are_orientations(fish, monkeypatch, found):
    monkeypatch.setattr(Image.Image, "getexif", lambda self: {0x112: found})
    assert _orientation_of(fish) == 1


def claims(width, height, **options):
    "A small JPEG that claims to be larger."
    data = saved(Image.new("RGB", (64, 64)), **options)
    at = re.search(rb"\xff[\xc0\xc2]", data).start() + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4:]


@pytest.mark.parametrize("side, progressive, limit", [(65500, False, 1000), (20000, True, 250)])
def test_bombs(side, progressive, limit):
    with pytest.raises(JobError, match=f"has {side * side // 10**6} megapixels, more than the limit of {limit}"):
        read_photo(claims(side, side, progressive=progressive))


def test_too_many_scans(fish):
    data = saved(fish, progressive=True)
    last = data.rindex(SOS)
    with pytest.raises(JobError, match="more than 500 scans"): read_photo(data[:-2] + data[last:-2] * _MAX_SCANS + data[-2:])


@pytest.fixture
def low_limit(monkeypatch):
    "A photo of 1,200 × 900 px is twice the limit."
    for module in ("jpeg", "formats", "reading"): monkeypatch.setattr(f"fishlearn.data.{module}._MAX_PIXELS", 540_000)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_very_large_photos_are_decoded_smaller(fish, tmp_path, monkeypatch, low_limit, mode, orientation):
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x112] = orientation
    large = fish.resize((1200, 900)).convert(mode)
    large.save("large.jpg", quality=95, exif=exif)
    upright = large.convert("RGB") if orientation == 1 else large.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    scale = 4 / 8 if mode == "CMYK" else 5 / 8
    assert read_photo("large.jpg").size == tuple(math.ceil(side * scale) for side in upright.size)
    assert read_photo("large.jpg", 2000).size == read_photo("large.jpg").size
    assert max(read_photo("large.jpg", 64).size) < 300
    facts = inspect_photo("large.jpg").facts
    assert (facts.reason, facts.width, facts.height) == ("is very large and decoded smaller", *upright.size)
    box = (240, 160, 480, 320)
    facts = inspect_photo("large.jpg#xywh=240,160,480,320").facts
    assert (facts.status, facts.width, facts.height) == ("ok", 480, 320)
    part = read_photo("large.jpg#xywh=240,160,480,320&outline=240,160,720,160,240,480")
    assert part.size == (round(480 * scale), round(320 * scale))
    whole = upright.crop((box[0], box[1], box[0] + box[2], box[1] + box[3])).resize(part.size)
    far = np.abs(np.asarray(part, float) - np.asarray(whole, float)).mean(2)
    inside = np.add.outer(np.arange(part.height) / part.height, np.arange(part.width) / part.width) < .95
    assert far[inside].mean() < 6 and (np.asarray(part)[np.flip(inside)] == 255).all()


def test_other_large_photos_are_refused(fish, tmp_path, low_limit):
    fish.resize((1200, 900)).save(tmp_path / "large.png")
    for read in (read_photo, lambda f: read_photo(f, 32)):
        with pytest.raises(JobError, match="has 1 megapixels, more than the limit"): read(tmp_path / "large.png")


def test_sound_photos_get_no_note(fish, tmp_path):
    file = tmp_path / "sound.jpg"
    for options in ({}, dict(progressive=True), dict(subsampling="4:4:4"), dict(restart_marker_rows=1)):
        file.write_bytes(saved(fish, **options))
        assert inspect_photo(str(file)).facts.reason == ""


def test_repairing_changes_nothing_that_matters(fish):
    data = saved(fish, icc_profile=b"x" * 100_000, comment=b"hello")
    assert (np.asarray(read_photo(jpeg._repaired(data))) == np.asarray(read_photo(data))).all()
