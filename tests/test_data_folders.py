"Patterns that cannot label photos are refused with the way out."
import re
import time

import pytest

from fishlearn.data.folders import _compile_label, _search_all, from_name_re
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


def test_a_pattern_that_would_run_for_ever_has_a_limit():
    began = time.time()
    with pytest.raises(ArgumentError, match=r"The pattern '\(a\+\)\+\$' takes longer than 1 seconds on 1 names"):
        _search_all("(a+)+$", ["a" * 40 + "!.jpg"], seconds=1)
    assert time.time() - began < 10


@pytest.mark.parametrize("pattern", ["(" * 5000 + "a" + ")" * 5000, "(?:" * 5000 + "(a)" + ")" * 5000, "(a", "(a{99999999999})", "a"])
def test_patterns_that_are_none(pattern):
    with pytest.raises(ArgumentError, match="The pattern .{2,110} (is no regular expression|needs parentheses)") as e: _compile_label(pattern)
    assert len(str(e.value)) < 300


def test_search_is_that_of_re():
    texts = ["cod_1.jpg", "", "caf\udce9_2.jpg", "_.jpg", "no", "a\nb_1.jpg", "鱈_3.jpg"]
    for pattern in [r"^(.*)_\d", r"(x)?_", r"(\w+)_"]:
        assert _search_all(pattern, texts) == [m and [m.group(1)] for m in (re.search(pattern, t) for t in texts)]
