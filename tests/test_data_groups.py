"Photos that belong together, checked against a slow reference and on a large table."
import time

import numpy as np
import pandas as pd
import pytest

from fishlearn.data.groups import _join_groups


def join_slowly(cells):
    "Pass the smallest row number on along shared values until nothing changes."
    name = list(range(len(cells)))
    while True:
        old = list(name)
        for column in cells:
            for rows in cells.groupby(column).indices.values():
                for i in rows:
                    name[i] = min(name[j] for j in rows)
        if name == old:
            return name


@pytest.mark.parametrize("seed", range(20))
def test_groups_equal_the_slow_reference(seed):
    cells = pd.DataFrame(np.random.default_rng(seed).integers(0, 60, (40, 3)), columns=list("abc")).astype(object)
    cells = cells.where(cells < 45, None)
    slow, quick = pd.Series(join_slowly(cells)), _join_groups(cells)
    filled = cells.notna().any(axis=1)
    assert quick.isna().tolist() == (~filled).tolist()
    assert pd.factorize(quick[filled])[0].tolist() == pd.factorize(slow[filled])[0].tolist()


def test_a_large_table_is_joined_quickly():
    rng, start = np.random.default_rng(0), time.perf_counter()
    large = _join_groups(pd.DataFrame(rng.integers(0, 80_000, (100_000, 3)).astype(str)))
    assert len(large) == 100_000
    assert time.perf_counter() - start < 20
