"The sample set is quick enough for every test to write its own."
import time

from fishlearn.samples.fish import sample_fish


def test_ninety_photos_take_seconds(tmp_path):
    start = time.perf_counter()
    assert len(sample_fish(tmp_path, per_species=10)) == 90
    assert time.perf_counter() - start < 60
