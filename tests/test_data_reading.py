"Photos of any mode and orientation are read alike."
import numpy as np
import pytest
from PIL import Image, ImageOps

from fishlearn.data.inspect import inspect_photo
from fishlearn.data.reading import read_photo
from fishlearn.errors import JobError
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.species import SPECIES


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch): monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def fish(): return draw_photo(SPECIES[0], np.random.default_rng(0), 64)[0].crop((0, 0, 40, 24))


def test_transparency_becomes_white():
    red = Image.new("RGBA", (40, 20), (255, 0, 0, 255))
    red.paste((0, 0, 0, 0), (0, 0, 20, 20))
    assert [read_photo(red).getpixel(xy) for xy in ((5, 5), (30, 5))] == [(255, 255, 255), (255, 0, 0)]


@pytest.mark.parametrize("file, value, dtype", [("sixteen.png", 257 * 90, np.uint16), ("wide.tif", 90, np.int32)])
def test_wide_grey_levels_become_eight_bits(file, value, dtype):
    Image.fromarray(np.full((9, 9), value, dtype)).save(file)
    assert read_photo(file).getpixel((0, 0)) == (90, 90, 90)


def test_pixels_without_an_agreed_range_are_refused():
    Image.fromarray(np.full((9, 9), 70000, np.int32)).save("wider.tif")
    with pytest.raises(JobError, match="32-bit pixels"): read_photo("wider.tif")
    Image.new("F", (20, 20)).save("float.tif")
    with pytest.raises(JobError, match="floating-point"): read_photo("float.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix, options", [("png", {}), ("tif", {}), ("webp", dict(lossless=True))])
def test_orientations_as_pillow_applies_them(fish, orientation, suffix, options):
    exif = Image.Exif()
    exif[0x112] = orientation
    fish.save(f"stored.{suffix}", exif=exif, **options)
    fish.save("reference.png", exif=exif)
    expected = ImageOps.exif_transpose(Image.open("reference.png"))
    assert (np.asarray(read_photo(f"stored.{suffix}")) == np.asarray(expected)).all()


def test_a_changed_file_is_read_again(fish):
    fish.save("a.png")
    first = read_photo("a.png#xywh=0,0,20,20")
    ImageOps.invert(fish).resize((50, 30)).save("a.png")
    assert read_photo("a.png#xywh=0,0,20,20").getpixel((0, 0)) != first.getpixel((0, 0))


@pytest.mark.parametrize("damage", [lambda data: data[:-12], lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]])
def test_damaged_pngs_are_refused_everywhere(damage):
    "With and without a box, for training and prediction, at any size, and for the same reason as by `check`."
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save("a.png")
    data = open("a.png", "rb").read()
    with open("a.png", "wb") as f: f.write(damage(data))
    facts = inspect_photo("a.png").facts
    assert facts.status == "unreadable"
    for photo, size in (("a.png", 0), ("a.png", 16), ("a.png#xywh=0,0,20,20", 0), (damage(data), 0)):
        with pytest.raises(JobError) as e: read_photo(photo, size)
        assert str(e.value) == facts.reason
