"Two photos are aligned as OpenCV, which knows nothing of our method, aligns them."
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from fishlearn.data.preprocessing import _squish
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.species import SPECIES
from fishlearn.splits.alignment import _align_pairs
from fishlearn.splits.poses import _Pairs
from fishlearn.splits.signatures import _best_rotation, _disc_reach, _greys, _spectra

FLIP, BICUBIC = Image.Transpose.FLIP_LEFT_RIGHT, Image.Resampling.BICUBIC
COPIES = dict(
    rotated=lambda im: im.rotate(33, BICUBIC),
    flipped=lambda im: im.transpose(FLIP).rotate(-70, BICUBIC),
    cropped=lambda im: im.crop((8, 5, 250, 253)),
    dull=lambda im: ImageEnhance.Contrast(im.rotate(121, BICUBIC)).enhance(.7),
    shifted=lambda im: im.transform(im.size, Image.Transform.AFFINE, (1, 0, 7, 0, 1, -5)))


def align(photo, copy):
    "Grey pictures, the first guess of the rotation, and the pose found."
    x, reach = _greys(np.stack([_squish(im, 128) for im in (photo, copy)])), _disc_reach([1, 1])
    spectra, pairs = _spectra(x, reach), _Pairs(x[:1], x[1:], reach[:1], reach[1:])
    _, angle, flipped = _best_rotation(spectra[:1], spectra[1:])
    return x, *_align_pairs(pairs, angle, flipped)


def to_pixels(pose):
    "A pose in units of half the side as an affine map of pixels."
    m, t = pose[:, :2], pose[:, 2]
    offset = 64 * (m @ np.full(2, .5 / 64 - 1) + t + 1) - .5
    return np.concatenate([m, offset[:, None]], 1)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", COPIES)
def test_as_opencv(name, seed):
    "Started from a rough pose, OpenCV's ECC finds the same map, to 3/4 of a pixel of 128 anywhere in the disc."
    cv2 = pytest.importorskip("cv2")
    photo = draw_photo(SPECIES[seed], np.random.default_rng(seed), 256).photo
    x, pose, similarity = align(photo, COPIES[name](photo))
    ours = to_pixels(pose[0].numpy().astype(float))
    rough = (ours + np.random.default_rng(seed).normal(0, [.01, .01, 1], (2, 3))).astype(np.float32)
    steps = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 2000, 1e-7)
    y, z = np.mgrid[:128, :128] - 63.5
    disc = (np.hypot(y, z) < 50).astype(np.uint8)
    theirs = rough
    for blur in (5, 1):
        _, theirs = cv2.findTransformECC(x[0].numpy(), x[1].numpy(), theirs, cv2.MOTION_AFFINE, steps, disc, blur)
    points = np.stack([z[disc > 0] + 63.5, y[disc > 0] + 63.5, np.ones(disc.sum())])
    assert np.abs((theirs - ours) @ points).max() < 3 / 4
    assert similarity[0] > .9


@pytest.mark.parametrize("name, angle, shift", [("rotated", 33, (0, 0)), ("shifted", 0, (-7 / 128, 5 / 128))])
def test_known_pose(name, angle, shift):
    "The pose is the one the copy was made with, to a tenth of a pixel."
    photo = draw_photo(SPECIES[1], np.random.default_rng(1), 256).photo
    _, pose, _ = align(photo, COPIES[name](photo))
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    assert pose[0].numpy() == pytest.approx(np.array([[c, s, shift[0]], [-s, c, shift[1]]]), abs=.1 / 64)


def test_another_photo_does_not_fit():
    photos = [draw_photo(SPECIES[0], np.random.default_rng(seed), 256).photo for seed in (1, 2)]
    assert align(*photos)[2][0] < .5


def test_moved_fish_on_the_same_water():
    "The background fits, but the part with the fish doesn't."
    noise = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    fish = draw_photo(SPECIES[0], np.random.default_rng(8), 60).photo
    scenes = [Image.fromarray(noise).resize((256, 256), BICUBIC) for _ in range(2)]
    for im, left in zip(scenes, (60, 130)): im.paste(fish, (left, 100))
    assert align(*scenes)[2][0] == 0 and align(scenes[0], scenes[0])[2][0] > .99


def test_pairs_can_be_indexed():
    x, reach = torch.rand(4, 128, 128), _disc_reach(np.ones(4))
    pairs = _Pairs(x, x.flip(0), reach, reach)[torch.tensor([True, False, False, True])]
    assert len(pairs) == 2 and torch.equal(pairs.b[0], x[3])
