"Only photo formats are opened, whatever a file is called, and other files are named."
import struct
import sys
import time

import pytest
from PIL import Image

from fishlearn.data.formats import _other_format, _photo_format
from fishlearn.data.inspect import inspect_photo
from fishlearn.data.reading import read_photo
from fishlearn.data.tiff import _tiff_file
from fishlearn.errors import JobError


def reason(data, tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(data)
    facts = inspect_photo(str(file)).facts
    assert facts.status == "unreadable"
    return facts.reason


OTHERS = {
    "is a web page, not a photo": b"\xef\xbb\xbf\n<!-- saved -->\n<!DOCTYPE html><html><body>404</body></html>",
    "is a PDF, not a photo": b"%PDF-1.7\n%\xe2\xe3",
    "is an SVG drawing, not a photo": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "is an XML file, not a photo": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "is a Git LFS pointer, not the photo itself; run `git lfs pull`": b"version https://git-lfs.github.com/spec/v1\n",
    "is a placeholder of iCloud; download the photo first": b"bplist00\xd4\x01",
    "is a text file, not a photo": "Fänge im Mai\n".encode() * 200,
    "is a Photoshop file (PSD); save it as JPEG, PNG or TIFF": b"8BPS\0\1" + bytes(40),
    "is a video, not a photo": b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(80),
    "is a zip archive, not a photo": b"PK\3\4\x14\0" + bytes(30),
    "is a raw photo (Canon); convert it to JPEG, PNG or TIFF": b"II*\0\x10\0\0\0CR\2\0" + bytes(60),
    "is metadata of macOS (AppleDouble), not a photo": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "is filled with zero bytes; its contents were lost": bytes(3000),
    "begins like a GIF file, but is damaged or of a kind that Pillow cannot read": b"GIF89a",
}


@pytest.mark.parametrize("why", OTHERS)
def test_other_files_are_named(why, tmp_path): assert reason(OTHERS[why], tmp_path) == why


@pytest.mark.parametrize("head", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"\xc5\xd0\xd3\xc6" + bytes(28)])
def test_nothing_starts_a_program(head, tmp_path, monkeypatch):
    import subprocess
    def refuse(*args, **kwargs): raise AssertionError("a program was started")
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert reason(head + b"%%EOF\n", tmp_path) == "is PostScript, not a photo"


@pytest.mark.parametrize("suffix", ["pcx", "ico", "sgi", "im", "msp", "xbm", "spider", "dds", "eps", "pdf"])
def test_other_formats_of_pillow_are_not_opened(suffix, tmp_path):
    file = tmp_path / f"odd.{suffix}"
    try: Image.new("L", (64, 64), 90).save(file, suffix)
    except (OSError, KeyError, ValueError): Image.new("1", (64, 64)).save(file, suffix)
    file = file.rename(tmp_path / "odd.jpg")
    for photo in (str(file), file.read_bytes()):
        with pytest.raises(JobError): read_photo(photo)


@pytest.mark.parametrize("brands, kind", [
    (b"heic\0\0\0\0mif1heic", "HEIF"), (b"mif1\0\0\0\0mif1avif", "AVIF"), (b"avis\0\0\0\0msf1", "AVIF"),
    (b"msf1\0\0\0\0hevc", "HEIF"), (b"mp42\0\0\0\0isom", "")])
def test_brands_of_the_container(brands, kind):
    assert _photo_format(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"avif") == kind


def test_heic_without_pillow_heif(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)
    assert reason(heic, tmp_path) == "is a HEIC photo; install pillow-heif to read it"


def test_a_raw_photo_is_not_its_thumbnail(tmp_path):
    Image.new("RGB", (160, 120)).save(tmp_path / "raw.tif", tiffinfo={254: 1, 330: 8, 271: "Nikon"})
    with pytest.raises(JobError, match="is a raw photo of a camera; convert it"): read_photo(tmp_path / "raw.tif")


def test_random_bytes_are_nothing():
    assert _photo_format(bytes(range(160, 255))) == _other_format(bytes(range(160, 255))) == ""


def test_the_sensor_data_of_a_raw_photo_are_named_as_such(tmp_path):
    "A DNG without a thumbnail, whose colour filter Pillow doesn't know."
    tags = {254: (0,), 256: (16,), 257: (4,), 258: (14,), 259: (1,), 262: (32803,), 273: (8,), 279: (112,), 50706: (1, 4, 0, 0)}
    assert reason(_tiff_file(b"II*\0\0\0\0\0" + bytes(112), tags), tmp_path).startswith("is a raw photo of a camera")


@pytest.mark.parametrize("unit", [b"<!-- x -->\n", b"<!--x-->", b"<?xml a?>\n", b"<!DOCTYPE svg>", b"<!-- x ", b"\n", b"\0\0", b"<?xml "])
@pytest.mark.parametrize("end", [b"", b"<p>404</p>", b"\x80\x81"])
def test_repetitions_take_no_time(unit, end):
    began = time.time()
    head = (unit * 1024)[:1000] + end
    _photo_format(head), _other_format(head)
    assert time.time() - began < .2


@pytest.mark.parametrize("head, kind", [
    (b"<!-- x -->\n" * 90 + b"<html>", "a web page, not a photo"), (b"<!-- x -->\n" * 90 + b"<p>404</p>", "a text file, not a photo"),
    (b"<?xml version='1.0'?>\n<!-- a --> <!-- b -->\n<!DOCTYPE svg>\n<svg>", "an SVG drawing, not a photo"),
    (b"<?xml version='1.0'?>\n<!-- <svg> --><html>", "a web page, not a photo")])
def test_comments_before_the_first_tag(head, kind): assert _other_format(head) == kind
