"Patterns that cannot label photos are refused with the way out."
import pytest

from fishlearn.data.folders import from_name_re
from fishlearn.errors import ArgumentError


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        (tmp_path / f"cod_{i}.jpg").touch()
    return tmp_path


@pytest.mark.parametrize("pattern, why", [
    (r"^(\d+)-", "matches none of the 3 file names or paths, such as 'cod_0.jpg'"),
    (r"^.+_\d+", "needs parentheses around the species"),
    (r"^(.+_\d+", "is no regular expression")])
def test_a_useless_pattern_is_refused(folder, pattern, why):
    with pytest.raises(ArgumentError, match=why):
        from_name_re(folder, pattern)
