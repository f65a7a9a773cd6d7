"Writing a file or folder never leaves it half done."
from pathlib import Path

import pytest

from fishlearn.errors import ArgumentError, JobError
from fishlearn.files import _check_file, _check_target, _write_file, _write_folder


@pytest.fixture(autouse=True)
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return _write_folder("model", lambda folder: (folder / "species.json").write_text("[1]"))


def disk_full(folder):
    (folder / "species.json").write_text("half")
    raise OSError(28, "No space left on device")


def vanish(folder): folder.rmdir()


def test_existing_folder_needs_force(model):
    with pytest.raises(ArgumentError, match="model exists already"): _check_target("model")
    _write_folder("model", lambda folder: (folder / "species.json").write_text("[2]"), force=True)
    assert Path("model/species.json").read_text() == "[2]"


@pytest.mark.parametrize("fill", [disk_full, vanish])
def test_failure_keeps_the_old_folder(fill):
    with pytest.raises(JobError, match="model cannot be written: No s"): _write_folder("model", fill, force=True)
    assert Path("model/species.json").read_text() == "[1]"
    assert [p.name for p in Path(".").iterdir()] == ["model"]


def test_other_folders_are_never_replaced():
    Path("holiday").mkdir()
    with pytest.raises(ArgumentError, match="holiday is not a model folder"): _check_target("holiday", force=True)


def test_target_below_a_file():
    Path("file").touch()
    with pytest.raises(JobError, match="cannot be written: .*file is not a folder you may write to"):
        _check_target("file/model")


def test_file_needs_a_folder():
    with pytest.raises(JobError, match="cannot be written: there is no folder nowhere"): _check_file("nowhere/a.json")
    with pytest.raises(JobError, match="a.json cannot be written"): _write_file("nowhere/a.json", "{}")
    with pytest.raises(ArgumentError, match="model is a folder"): _check_file("model")
    assert _check_file(None) is None


def test_failed_write_keeps_the_old_file():
    _write_file("a.json", "old")
    with pytest.raises(UnicodeEncodeError): _write_file("a.json", "\udcff")
    assert Path("a.json").read_text() == "old"


def test_failed_rename_leaves_no_temporary_file(model):
    with pytest.raises(JobError, match="model cannot be written: Is a directory"): _write_file("model", "text")
    assert [p.name for p in Path(".").iterdir()] == ["model"]
