"Input shapes keep the number of pixels, and small sizes stay valid."
import numpy as np
import pytest

from fishlearn.data.shape import input_shape


@pytest.mark.parametrize("size", [128, 224, 256, 384])
def test_pixels_as_in_the_square(size):
    areas = [np.prod(input_shape(size, aspect)) / size**2 for aspect in np.geomspace(1 / 3, 3, 41)]
    assert .7 < min(areas) and max(areas) < 1.3


@pytest.mark.parametrize("size, aspect, shape", [(100, 1, (100, 100)), (96, 2, (64, 128)), (32, 3, (32, 64))])
def test_small_sizes(size, aspect, shape): assert input_shape(size, aspect) == shape
