"Cells that a spreadsheet would run are inert in every CSV file, and read back as they were."
from io import StringIO

import pandas as pd
import pytest

from fishlearn.commands.common import _write_photos
from fishlearn.commands.predict import _write_answers
from fishlearn.csv_cells import _active, _csv_text, _inert
from fishlearn.data.tables import from_csv, read_table

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "  =1", '"=1', "'=1", "''=1", "＝1", "=cmd|' /C calc'!A0", "- a", "\ufeff=1",
            "\tcod", "-", "'-x"]
PLAIN = ["cod", "-1.5", "+3", "-1,5", "-.5", "1e-5", "-1e-5", "'", "''", "'cod", "", "a=b", "1-2", "–5 °C", "-5 %", "Gadus 'x'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_inert(text):
    assert _inert(text) == f"'{text}" and _active(_inert(text)) == text and _active(_inert(_inert(text))) == _inert(text)


@pytest.mark.parametrize("text", PLAIN)
def test_others_stay(text): assert _inert(text) == _active(text) == text


def test_hypothesis():
    hypothesis = pytest.importorskip("hypothesis")
    @hypothesis.given(hypothesis.strategies.text("'\"=+-@ \t\r\n1.,eE%a＝\ufeff", max_size=8))
    @hypothesis.settings(max_examples=2000, deadline=None)
    def same(text):
        assert _active(_inert(text)) == text
        assert not _inert(text).startswith(("=", "@", "\t", "\r"))
    same()


def test_tables():
    table = pd.DataFrame(dict(a=FORMULAS, n=[-1.5] * len(FORMULAS)))
    text = _csv_text(table)
    assert text.splitlines()[1] == "\"'=1+1\",\"-1.5\""
    back = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False).map(_active)
    assert back.a.tolist() == table.a.tolist()


def test_photo_table_reads_back_the_same(tmp_path):
    "Hostile species, paths and cameras."
    (tmp_path / "in.csv").write_text("path,label,status,reason,camera\n-a.jpg,@cod,ok,,=cmd()\n'=b.jpg,+1+1,ok,,-1.5\n")
    table = from_csv(tmp_path / "in.csv")
    assert table.path.tolist() == [f"{tmp_path}/-a.jpg", f"{tmp_path}/=b.jpg"]
    _write_photos(table, tmp_path / "out.csv")
    rows = (tmp_path / "out.csv").read_text().splitlines()
    assert rows[1].startswith("'-a.jpg,'@cod,") and rows[2].startswith("'=b.jpg,'+1+1,") and ",'=cmd()" in rows[1]
    assert from_csv(tmp_path / "out.csv").equals(table)


def test_answers(tmp_path):
    table = pd.DataFrame(dict(path=["=a.jpg"], species=["@cod"], probability=[.5], alternatives=[[("=x", .1)]], reason=[""]))
    _write_answers(table, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "'=a.jpg,'@cod,0.5,'=x 0.100,"
    assert read_table(tmp_path / "a.csv").path[0] == "=a.jpg"
