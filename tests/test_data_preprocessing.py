"Every photo reaches the network in one shape, upright and without distortion."
import numpy as np
import pytest
from PIL import Image, ImageOps

from fishlearn.data.preprocessing import Preprocessing, _inner_box, _pad, _squish
from fishlearn.data.reading import read_photo
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.species import SPECIES


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return draw_photo(SPECIES[0], np.random.default_rng(0), 64)[0]


@pytest.mark.parametrize("aspect, box", [(5 / 3, (0, 0, 320, 192)), (1, (64, 0, 256, 192)), (4, (0, 56, 320, 136)),
                                         (500, (0, 95, 320, 96))])
def test_place_of_a_padded_photo(aspect, box): assert _inner_box(aspect, (192, 320)) == box


def test_padding_is_grey():
    blue = _pad(Image.new("RGB", (400, 100), "blue"), (192, 320))
    assert (blue.shape, blue[60, 5].tolist(), blue[50, 5].tolist()) == ((192, 320, 3), [0, 0, 255], [128] * 3)


@pytest.mark.parametrize("resize", ["squish", "pad"])
def test_resizing_again_changes_nothing(photo, resize):
    exif = Image.Exif()
    exif[0x112] = 6
    photo.crop((0, 0, 60, 36)).save("rotated.png", exif=exif)
    shape = Preprocessing((48, 80), resize)
    once = shape.pixels("rotated.png")
    assert once.shape == (48, 80, 3)
    assert (shape.pixels(Image.fromarray(once)) == once).all()
    assert (shape.pixels(ImageOps.exif_transpose(Image.open("rotated.png"))) == once).all()


def test_white_becomes_one():
    white = [np.full((2, 2, 3), 255, np.uint8)]
    assert (Preprocessing(2).normalise(white) == np.ones((1, 3, 2, 2), np.float32)).all()


def test_large_jpegs_are_decoded_smaller(photo):
    photo.resize((2048, 2048)).save("large.jpg")
    assert [read_photo("large.jpg", s).size for s in (0, 224, (192, 320))] == [(2048, 2048), (256, 256), (512, 512)]
    exact = _squish(read_photo("large.jpg"), 224).astype(float)
    assert np.abs(Preprocessing(224).pixels("large.jpg") - exact).mean() < 2


def test_uneven_sizes_are_not_stretched(photo):
    uneven = photo.resize((256, 170))
    uneven.save("uneven.jpg", quality=95)
    uneven.rotate(180).save("rotated.jpg", quality=95)
    straight, rotated = (Preprocessing(128).pixels(f).astype(float) for f in ("uneven.jpg", "rotated.jpg"))
    assert np.abs(straight - rotated[::-1, ::-1]).mean() < 2
