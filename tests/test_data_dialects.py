"Tables of any dialect and format are read completely, or refused with the way out."
import json
import os
import random
import re
from zipfile import ZipFile

import pandas as pd
import pytest

from fishlearn.data.dialects import _read_delimited
from fishlearn.data.names import _clean_text
from fishlearn.data.table_files import read_table
from fishlearn.data.tables import from_csv
from fishlearn.errors import ArgumentError, FishlearnError

PATHS = [f"photos/{i:03}.jpg" for i in range(8)]
LABELS = ["Brachse"] * 4 + ["Döbel"] * 4
LENGTHS = [f"{20 + i},{i}" for i in range(8)]


def text(header, *columns, sep=",", end="\r\n", before=""):
    return before + end.join(sep.join(map(str, row)) for row in (header, *zip(*columns))) + end


@pytest.mark.parametrize("table, encoding", [
    (text(["path", "label", "laenge_cm"], PATHS, LABELS, LENGTHS, sep=";"), "utf-8-sig"),
    (text(["path", "label", "laenge_cm"], PATHS, LABELS, ["20"] * 4 + LENGTHS[4:], sep=";"), "utf-8"),
    (text(["path", "label", "a", "b"], PATHS, LABELS, LENGTHS, LENGTHS, sep=";"), "cp1252"),
    (text(["path", "label", "Länge, cm"], PATHS, LABELS, LENGTHS, sep=";"), "utf-8"),
    (text(["path", "label", "note: size, sex, age, x"], PATHS, LABELS, LENGTHS, sep=";"), "utf-8"),
    (text(["path", "label"], PATHS, LABELS, sep=";", before="sep=;\r\n"), "utf-8"),
    (text(["path", "label"], PATHS, LABELS, sep=",", before='"sep=,"\r\n'), "utf-8"),
    (text(["path", "label", "where"], PATHS, LABELS, ["Rio Negro, upper"] * 8, sep="\t"), "utf-8"),
    (text(["path", "label"], PATHS, LABELS, sep="\t"), "utf-16"), (text(["path", "label"], PATHS, LABELS, sep="\t"), "utf-16-le"),
    (text(["path", "label"], PATHS, LABELS, sep="|"), "utf-8"), (text(["path", "label"], PATHS, LABELS, end="\r"), "utf-8"),
    (text(["path", "label"], PATHS, LABELS), "utf-32"), (text([" path ", '"label"'], PATHS, [f' "{s}"' for s in LABELS]), "utf-8"),
    (text(["path", "label", "", ""], PATHS, LABELS, [""] * 8, [""] * 8) + ",,,\r\n" * 5, "utf-8"),
    (text(["label", "path"], LABELS, PATHS), "utf-8")])
def test_dialects(tmp_path, table, encoding):
    (tmp_path / "labels.csv").write_bytes(table.encode(encoding))
    found = from_csv(tmp_path / "labels.csv")
    assert found.label.tolist() == LABELS and found.path.tolist() == [(tmp_path / p).as_posix() for p in PATHS]


@pytest.mark.parametrize("table, why", [
    ("path,label\na.jpg,Brachse\nb.jpg,Brachse, adult\n", "Line 3 has 3 cells"),
    ("path,label\na.jpg,trout, brown\n", "Line 2 has 3 cells"), ("label,path\ncod,a.jpg, x\n", "Line 2 has 3 cells"),
    ("path,label\na.jpg,\"cod\nand,ling\"\nb.jpg,x,y\n", "Line 4 has 3 cells"),
    ("path,label,path\na.jpg,cod,b.jpg\n", "several columns 'path'"), ("path,note,note\na,b,c\n", "several columns 'note'"),
    ("photos/1.jpg,cod\nphotos/2.jpg,ling\n", "The first line must name the columns"), ("", "It is empty"), ("\n\n", "It is empty"),
    ("<!DOCTYPE html><table>", "It is a web page"), ("%PDF-1.7", "It is a PDF"), ("\xd0\xcf\x11\xe0", "old Excel"),
    ("PK\x03\x04 not a workbook", "damaged zip"), ("\x1f\x8b\x08", "is compressed"), ("\xff\xd8\xff\xe0", "It is a photo"),
    ("SQLite format 3\0", "It is a database")])
def test_what_is_no_table_is_named(tmp_path, table, why):
    (tmp_path / "labels.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(ArgumentError, match=why): from_csv(tmp_path / "labels.csv")


def test_quotes_that_never_end_lose_no_row_in_silence(tmp_path):
    (tmp_path / "labels.csv").write_text('path,label\na.jpg,"cod\n' + "".join(f"{i}.jpg,ling\n" for i in range(50)))
    with pytest.raises(ArgumentError, match="quotation mark in line 2 is never closed"): from_csv(tmp_path / "labels.csv")


def test_workbooks(tmp_path):
    pytest.importorskip("openpyxl")
    pd.DataFrame(dict(path=PATHS, label=LABELS, n=range(8))).to_excel(tmp_path / "labels.xlsx", index=False)
    assert from_csv(tmp_path / "labels.xlsx").label.tolist() == LABELS
    os.rename(tmp_path / "labels.xlsx", tmp_path / "renamed.csv")
    assert from_csv(tmp_path / "renamed.csv").label.tolist() == LABELS


def test_a_workbook_without_openpyxl(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    pd.DataFrame(dict(path=PATHS, label=LABELS)).to_excel(tmp_path / "labels.xlsx", index=False)
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    with pytest.raises(FishlearnError, match="needs openpyxl; install it with pip install openpyxl, or save the table as CSV"):
        from_csv(tmp_path / "labels.xlsx")


def test_json_lines(tmp_path):
    lines = [json.dumps(dict(file_name=p, label=s)) for p, s in zip(PATHS, LABELS)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert from_csv(tmp_path / "metadata.jsonl").label.tolist() == LABELS
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, "[1]"]))
    with pytest.raises(ArgumentError, match="Line 9 is no JSON object"): from_csv(tmp_path / "metadata.jsonl")


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for file in (tmp_path / "pipe.csv", "/dev/zero", tmp_path):
        with pytest.raises(ArgumentError, match="is a folder, a pipe or a device"): read_table(file)


def test_absurd_sizes_are_refused(tmp_path):
    with open(tmp_path / "large.csv", "wb") as f: f.truncate(3 * 10**9)
    with pytest.raises(ArgumentError, match="has 3 GB, more than the limit of 2"): read_table(tmp_path / "large.csv")


def test_any_bytes_are_answered():
    words = [b"path", b"label", b",", b";", b"\t", b"|", b"\n", b"\r", b'"', b"a.jpg", b"cod", b"\0", b"\xff", b"\xef\xbb\xbf", b" ", b"sep=;"]
    rng = random.Random(0)
    for _ in range(3000):
        try: _read_delimited(b"".join(rng.choice(words) for _ in range(rng.randint(0, 25))))
        except FishlearnError as e: assert str(e)


@pytest.mark.parametrize("rows, why", [
    ('a.jpg,"Puma\nb.jpg,Puma\nc.jpg,"Puma\n', "line 2 is not closed before line 4"),
    ('"a.jpg,Puma\nb.jpg,Guan\n"c.jpg,Puma\n', "line 2 is not closed before line 4"),
    ('a.jpg,"Puma\nb.jpg,Guan\nc.jpg,Puma"\n', "line 2 makes one cell of the rows up to line 4"),
    ('a.jpg,"Puma\nb.jpg,Puma"\nc.jpg,Puma\n', "line 2 makes one cell of the rows up to line 3"),
    ('001,"Puma\n002,Guan\n003,Puma"\n', "line 2 makes one cell of the rows up to line 4"),
    ('a.jpg,"Guan "red" morph"\n', "Line 2 has a quotation mark within a quoted cell")])
def test_quotes_swallow_no_rows(tmp_path, rows, why):
    (tmp_path / "labels.csv").write_text("path,label\n" + rows)
    with pytest.raises(ArgumentError, match=why): from_csv(tmp_path / "labels.csv")


def test_cells_with_line_breaks_are_read(tmp_path):
    (tmp_path / "labels.csv").write_text('path,label,note\na.jpg,"Puma" ,"seen, twice\nat ""b.jpg""\nand, later"\nb.jpg,Guan,5" tall\n')
    table = read_table(tmp_path / "labels.csv")
    assert table.label.str.strip().tolist() == ["Puma", "Guan"] and table.note.tolist() == ['seen, twice\nat "b.jpg"\nand, later', '5" tall']


def test_every_row_is_answered(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,cod\n,\n\nb.jpg,cod\n , \n,,\n")
    assert from_csv(tmp_path / "labels.csv").reason.tolist() == ["", "no path", ""]


@pytest.mark.parametrize("encoding, names", [
    ("cp932", ["鮫", "鱈", "マス"]), ("gbk", ["鲨鱼", "鳕鱼", "鳟鱼"]), ("cp1251", ["Лось", "Рысь", "Кабан"]),
    ("big5", ["鯊魚", "鱈魚", "鱒魚"]), ("euc-kr", ["상어", "대구", "송어"]), ("cp1253", ["Λύκος", "Αλεπού", "Λαγός"])])
def test_other_encodings_are_refused(tmp_path, encoding, names):
    (tmp_path / "labels.csv").write_bytes(text(["path", "label"], PATHS, names * 3).encode(encoding))
    with pytest.raises(ArgumentError, match="not in UTF-8; save the table as CSV UTF-8"): from_csv(tmp_path / "labels.csv")


def test_a_mixture_of_encodings_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_bytes("path,label\na.jpg,Döbel\n".encode() + "b.jpg,Döbel\n".encode("cp1252"))
    with pytest.raises(ArgumentError, match="not in UTF-8"): from_csv(tmp_path / "labels.csv")


def test_windows_1252_is_reported(tmp_path, capsys):
    (tmp_path / "labels.csv").write_bytes(text(["path", "label"], PATHS, LABELS).encode("cp1252"))
    assert from_csv(tmp_path / "labels.csv").label.tolist() == LABELS
    assert "read as Windows-1252; if names such as Döbel are wrong" in capsys.readouterr().out


def test_no_byte_of_a_name_is_deleted():
    names = ["鮫".encode("cp932"), "鱈".encode("cp932"), b"L"]
    assert len({_clean_text(n.decode("utf-8", "surrogateescape")) for n in names}) == 3
    assert len({_clean_text(n.decode("latin-1")) for n in names}) == 3


def workbook(file, rows, before=None):
    "A workbook, perhaps with a hidden sheet before the first one."
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    for row in rows: sheet.append(row)
    if before:
        hidden = book.create_sheet("codes", 0)
        hidden.append(before)
        hidden.sheet_state = "hidden"
    book.save(file)


ROWS = [["path", "label"], *zip(PATHS, LABELS)]


def test_a_hidden_sheet_is_not_read(tmp_path):
    workbook(tmp_path / "labels.xlsx", ROWS, before=["code", "name"])
    assert from_csv(tmp_path / "labels.xlsx").label.tolist() == LABELS


def test_a_wrong_size_of_a_sheet_is_not_believed(tmp_path):
    workbook(tmp_path / "all.xlsx", [*ROWS, ["z.jpg", "Hecht", "note"]])
    with ZipFile(tmp_path / "all.xlsx") as old, ZipFile(tmp_path / "labels.xlsx", "w") as new:
        for name in old.namelist(): new.writestr(name, re.sub(b'<dimension ref="[^"]*"', b'<dimension ref="A1"', old.read(name)))
    table = read_table(tmp_path / "labels.xlsx")
    assert table.label.tolist() == [*LABELS, "Hecht"] and table["column 3"].tolist()[-1] == "note"


def test_formulas_without_results_are_reported(tmp_path, capsys):
    workbook(tmp_path / "labels.xlsx", [*ROWS, ["z.jpg", '="Hecht"'], ["y.jpg", "#N/A"]])
    assert from_csv(tmp_path / "labels.xlsx").label.tolist() == [*LABELS, None, None]
    assert "1 formulas without results, such as in B10, are read as empty cells" in capsys.readouterr().out


def test_every_row_of_a_workbook_is_answered(tmp_path):
    workbook(tmp_path / "labels.xlsx", [["path", "label", "n"], ["a.jpg", "cod", 1], [None, None, None], ["b.jpg", "cod", 0], [None, None, None]])
    assert from_csv(tmp_path / "labels.xlsx").reason.tolist() == ["", "no path", ""]


def test_line_separators_in_json_strings(tmp_path):
    lines = [json.dumps(dict(file_name=p, label=s, note="a\u2028b\u0085c"), ensure_ascii=False) for p, s in zip(PATHS, LABELS)]
    (tmp_path / "metadata.jsonl").write_text("\r\n".join(lines), "utf-8", newline="")
    assert from_csv(tmp_path / "metadata.jsonl").label.tolist() == LABELS
