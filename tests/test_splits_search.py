"Candidates are found once each, work is divided among the cores, and the threshold lies in the gap."
import numpy as np
import pandas as pd
import pytest
import torch

from fishlearn.splits.candidates import _nearest_pairs, _views
from fishlearn.splits.search import _choose_threshold, _map_threads


def test_nearest_pairs():
    rng = np.random.default_rng(0)
    near = _nearest_pairs(np.repeat(rng.normal(size=(5, 8)), 3, 0) + rng.normal(0, .01, (15, 8)), k=2)
    assert (near.a // 3 == near.b // 3).all() and (near.a < near.b).all()
    assert len(near.a) == 15 and (np.diff(near.distance) >= 0).all()


def test_one_photo_has_no_pairs():
    assert len(_nearest_pairs(np.zeros((1, 8))).a) == 0


@pytest.mark.parametrize("sizes, views", [
    (((640, 480), (480, 640)), 1), (((256, 256), (64, 64)), 2), (((640, 480), (640, 360)), 2)])
def test_shapes_in_which_photos_are_compared(sizes, views):
    assert len(_views(pd.DataFrame(sizes, columns=["width", "height"]))) == views


def test_work_is_divided_and_put_together_again():
    threads = torch.get_num_threads()
    assert np.concatenate(_map_threads(lambda rows: rows * 2, np.arange(5))).tolist() == [0, 2, 4, 6, 8]
    with pytest.raises(IndexError): _map_threads(lambda rows: rows[9], np.arange(5))
    assert _map_threads(len, np.arange(0)) == [] and torch.get_num_threads() == threads


@pytest.mark.parametrize("similarity, threshold", [
    ([.2, .5, .99, 1.], .88), ([.75, .83, .84, .86, .9, .97, .99], .88), (np.linspace(0, 1, 1000), .88),
    ([.6, .7, .841, .86, .87, .9, .92, .94, .96, .98], .826)])
def test_threshold(similarity, threshold):
    assert _choose_threshold(similarity) == pytest.approx(threshold, abs=.002)
