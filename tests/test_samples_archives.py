"Archives made with bad intent, cut off or damaged write nothing, wherever the cut is."
import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fishlearn.errors import ArgumentError, JobError
from fishlearn.samples.archives import _is_inside, _list_members, _open_archive, unpack


@pytest.fixture
def folder(tmp_path, monkeypatch):
    "A folder with a file to pack, an empty folder, and a file nobody may touch."
    monkeypatch.chdir(tmp_path)
    Path("set/cod").mkdir(parents=True)
    Path("set/cod/1.jpg").write_bytes(np.random.default_rng(0).bytes(3000))
    Path("deep").mkdir()
    Path("hello.txt").write_bytes(b"hello")
    return tmp_path


def contents(folder):
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


def nothing_written():
    return not os.listdir("deep") and not Path("evil").exists() and not Path("../evil").exists()


def make_tar(file, name, kind, target):
    with tarfile.open(file, "w") as t:
        for member in (("photo.jpg", tarfile.REGTYPE, ""), (name, kind, target)):
            info = tarfile.TarInfo(member[0])
            info.type, info.linkname, info.size = member[1], member[2], 4 * (member[1] == tarfile.REGTYPE)
            t.addfile(info, io.BytesIO(b"evil"))


def make_zip(file, name, mode):
    with zipfile.ZipFile(file, "w") as z:
        info = zipfile.ZipInfo(name)
        info.filename, info.external_attr = name, mode << 16
        z.writestr(info, "evil")


@pytest.mark.parametrize("name, inside", [
    ("cod/1.jpg", True), ("./cod", True), ("a..b/c", True), ("../evil", False), ("cod/../../evil", False),
    ("/etc/passwd", False), ("C:evil", False), ("C:\\evil", False), ("\\\\server\\evil", False), ("..\\evil", False)])
def test_a_name_stays_inside_on_every_system(name, inside):
    assert _is_inside(name) is inside


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_every_kind_of_archive_gives_the_same_files(folder, kind):
    archive = shutil.make_archive("packed", kind, ".", "set")
    assert contents(unpack(archive, "whole")) == ["set/cod/1.jpg"]
    assert contents(unpack(archive, "unwrapped", unwrap=True)) == ["cod/1.jpg"]
    with pytest.raises(ArgumentError, match="whole exists already"):
        unpack(archive, "whole")


@pytest.mark.parametrize("name, kind, target", [
    ("../evil", tarfile.REGTYPE, ""), ("/tmp/deep/evil", tarfile.REGTYPE, ""), ("C:\\evil", tarfile.REGTYPE, ""),
    ("link", tarfile.SYMTYPE, ".."), ("link", tarfile.LNKTYPE, "../hello.txt"), ("null", tarfile.CHRTYPE, ""),
    ("pipe", tarfile.FIFOTYPE, "")])
def test_a_tar_that_leaves_its_folder_is_refused(folder, name, kind, target):
    make_tar("bad.tar", name, kind, target)
    with pytest.raises(JobError, match="bad.tar is not unpacked"):
        unpack("bad.tar", "deep/new")
    assert nothing_written()


@pytest.mark.parametrize("name, mode", [
    ("../evil", 0o100644), ("..\\evil", 0o100644), ("/evil", 0o100644), ("link", 0o120777)])
def test_a_zip_that_leaves_its_folder_is_refused(folder, name, mode):
    make_zip("bad.zip", name, mode)
    with pytest.raises(JobError, match="bad.zip is not unpacked"):
        unpack("bad.zip", "deep/new")
    assert nothing_written()


def test_a_tar_is_refused_wherever_it_was_cut(folder):
    whole = Path(shutil.make_archive("packed", "tar", ".", "set")).read_bytes()
    for size in range(512, 1536 + 3000, 128):
        Path("cut.tar").write_bytes(whole[:size])
        with pytest.raises((tarfile.TarError, zipfile.BadZipFile, EOFError)), _open_archive("cut.tar") as archive:
            _list_members(archive)


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_that_was_cut_off_is_refused(folder, kind):
    archive = Path(shutil.make_archive("packed", kind, ".", "set"))
    archive.write_bytes(archive.read_bytes()[:1600])
    with pytest.raises(JobError, match="is damaged or no zip or tar archive"):
        unpack(archive, "deep/new")
    assert nothing_written()


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_an_archive_with_a_flipped_byte_is_refused(folder, kind):
    archive = Path(shutil.make_archive("packed", kind, ".", "set"))
    flipped = bytearray(archive.read_bytes())
    flipped[len(flipped) // 2] ^= 255
    archive.write_bytes(flipped)
    with pytest.raises(JobError, match="is damaged"):
        unpack(archive, "deep/new")
    assert nothing_written()


def test_what_is_no_archive_is_refused(folder):
    Path("page.zip").write_text("<html>")
    with pytest.raises(JobError, match="page.zip is damaged or no zip or tar archive"):
        unpack("page.zip", "deep/new")
    with pytest.raises(ArgumentError, match="There is no file nothing.zip"):
        unpack("nothing.zip", "new")


def test_a_folder_that_cannot_be_written_is_one_sentence(folder):
    archive = shutil.make_archive("packed", "zip", ".", "set")
    with pytest.raises(JobError, match="cannot be written"):
        unpack(archive, "hello.txt/new")
