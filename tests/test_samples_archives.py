"Archives made with bad intent, cut off or damaged write nothing, wherever the cut is."
import gzip
import io
import os
import shutil
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fishlearn.errors import ArgumentError, FishlearnError, JobError
from fishlearn.samples import archives
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
            list(_list_members(archive))


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


def refused(archive, why):
    start = time.monotonic()
    with pytest.raises(JobError, match=why): unpack(archive, "deep/new")
    assert time.monotonic() - start < 5
    assert nothing_written()


def named_zip(*names):
    "A zip whose members have any names."
    with zipfile.ZipFile("bad.zip", "w") as z:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo(f"name{i}")
            if name: info.filename = name
            z.writestr(info, "hello")
            info.filename = name
    return "bad.zip"


def named_tar(*names, kind=tarfile.REGTYPE, **more):
    "A tar whose members have any names."
    with tarfile.open("bad.tar", "w", **more) as t:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.type = 5 * (kind == tarfile.REGTYPE), kind
            t.addfile(info, io.BytesIO(b"hello"))
    return "bad.tar"


NAMES = [
    ([""], "has no name"), (["."], "has no name"), (["cod/."], ""), (["cod/1.jpg", "cod/1.jpg"], "the name of another member"),
    (["cod/1.jpg", "cod//./1.jpg"], "the name of another member"), (["Cod/1.jpg", "cod/1.JPG"], "differs only by case"),
    (["\u00e9.jpg", "e\u0301.jpg"], "the name of another member"), (["cod", "cod/1.jpg"], "is below a file"),
    (["cod/1.jpg", "cod"], "the name of another member"), (["//server/share/x"], "outside"), (["\\\\server\\share"], "outside"),
    (["c:x"], "outside"), (["a/../../b"], "outside"), (["a\\..\\..\\b"], "outside")]


@pytest.mark.parametrize("make", [named_zip, named_tar])
@pytest.mark.parametrize("names, why", NAMES)
def test_names_that_no_file_can_have_are_refused(folder, make, names, why):
    if why: refused(make(*names), f"is not unpacked: .* in it .*{why}")
    else: assert contents(unpack(make(*names), "new")) == ["cod"]


def test_a_name_with_nul_and_control_characters_is_refused_and_shown_harmlessly(folder):
    with pytest.raises(JobError) as error: unpack(named_zip("\x1b[2J\0.jpg"), "deep/new")
    assert "\x1b" not in str(error.value)


def test_folders_of_windows_are_folders(folder):
    assert contents(unpack(named_zip("cod\\1.jpg", "eel\\1.jpg"), "new")) == ["cod/1.jpg", "eel/1.jpg"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_modes_follow_the_umask(folder, kind):
    os.chmod("set/cod/1.jpg", 0o600)
    os.chmod("set/cod", 0o700)
    archive, before = shutil.make_archive("packed", kind, ".", "set"), os.umask(0o027)
    try: new = unpack(archive, "new")
    finally: os.umask(before)
    assert [(new / p).stat().st_mode & 0o777 for p in ("", "set/cod", "set/cod/1.jpg")] == [0o750, 0o750, 0o640]


@pytest.mark.parametrize("kind", [tarfile.BLKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"?", tarfile.CONTTYPE])
def test_devices_and_unknown_kinds_are_refused(folder, kind):
    if kind == tarfile.CONTTYPE: assert contents(unpack(named_tar("x", kind=kind), "new")) == ["x"]
    else: refused(named_tar("x", kind=kind), "is a link or a device")


def patched(file, at, value):
    changed = bytearray(Path(file).read_bytes())
    changed[at:at + len(value)] = value
    Path(file).write_bytes(changed)
    return file


def directory(file):
    return Path(file).read_bytes().rindex(b"PK\1\2")


def test_an_encrypted_zip_is_named(folder):
    named_zip("1.jpg")
    patched("bad.zip", 6, b"\1")
    refused(patched("bad.zip", directory("bad.zip") + 8, b"\1"), "'1.jpg' in it is encrypted")


def test_a_zip_that_needs_another_program_is_named(folder):
    with zipfile.ZipFile("bad.zip", "w") as z: z.writestr("1.jpg", "hello")
    patched("bad.zip", 8, b"\x61")
    refused(patched("bad.zip", directory("bad.zip") + 10, b"\x61"), "in a way that Python cannot unpack")


@pytest.mark.parametrize("size, why", [(10**12, "it needs|damaged"), (2**32 - 2, "it needs|damaged"), (3, "damaged"), (6, "damaged")])
def test_a_zip_that_claims_another_size_is_refused(folder, size, why, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10**9}))
    with zipfile.ZipFile("bad.zip", "w") as z: z.writestr("1.jpg", "hello")
    refused(patched("bad.zip", directory("bad.zip") + 24, struct.pack("<I", min(size, 2**32 - 1))), why)


def test_a_tar_that_claims_a_terabyte_is_refused_before_it_is_read(folder, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 10**9}))
    info = tarfile.TarInfo("1.jpg")
    info.size = 10**12
    with gzip.open("bad.tar.gz", "wb") as f: f.write(info.tobuf() + bytes(5000))
    refused("bad.tar.gz", "it needs 1.00TB")


@pytest.mark.parametrize("where", ["first", "pax"])
def test_a_tar_with_a_negative_size_ends(folder, where):
    named_tar("1.jpg", "2.jpg")
    info = tarfile.TarInfo("bad")
    if where == "first": buffer = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    else:
        info.pax_headers = {"size": "-1024"}
        buffer = bytearray(info.tobuf(tarfile.PAX_FORMAT))
    if where == "first":
        buffer[124:136] = b"\xff" * 10 + b"\xfc\x00"
        buffer[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(buffer))[0]
    Path("bad.tar").write_bytes(buffer + Path("bad.tar").read_bytes())
    refused("bad.tar", "damaged|in it")


def test_sparse_files_are_refused(folder):
    named_tar("1.jpg", kind=tarfile.GNUTYPE_SPARSE)
    refused("bad.tar", "is a sparse file")


def test_headers_of_many_megabytes_and_endless_zeros_are_not_read(folder):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 10**9
    with gzip.open("pax.tar.gz", "wb", 1) as f: f.write(info.tobuf() + bytes(10_000_000))
    refused("pax.tar.gz", "damaged")
    with gzip.open("zeros.tar.gz", "wb", 1) as f:
        f.write(Path(named_tar("1.jpg")).read_bytes())
        for _ in range(80): f.write(bytes(1_000_000))
    refused("zeros.tar.gz", "damaged")


@pytest.mark.parametrize("make", [named_zip, named_tar])
def test_too_many_members_are_refused(folder, make, monkeypatch):
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 100)
    refused(make(*(f"{i}.jpg" for i in range(150))), "it has 100 files and folders or more")


def test_a_zip_with_a_million_members_is_refused_by_its_end(folder):
    end = struct.pack("<4sQHHIIQQQQ4sIQI", b"PK\6\6", 44, 45, 45, 0, 0, 10**6, 10**6, 5 * 10**8, 0, b"PK\6\7", 0, 0, 1)
    Path("bad.zip").write_bytes(end + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))
    refused("bad.zip", "it has 1,000,000 files and folders or more|damaged")


def test_the_target_may_not_be_a_link_to_nowhere(folder):
    os.symlink("nowhere", "new")
    with pytest.raises(ArgumentError, match="new exists already"): unpack(named_zip("1.jpg"), "new")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_whatever_bytes_change_an_archive_is_unpacked_or_refused(folder, kind):
    random = np.random.default_rng(0)
    whole = Path(shutil.make_archive("packed", kind, ".", "set")).read_bytes()
    for i in range(150):
        changed = bytearray(whole)
        for at in random.integers(len(changed), size=random.integers(1, 8)): changed[at] = random.integers(256)
        if i % 3 == 0: del changed[random.integers(len(changed)):]
        Path("bad").write_bytes(changed)
        try: shutil.rmtree(unpack("bad", "deep/new"))
        except FishlearnError: pass
        assert nothing_written()


def test_what_a_killed_process_left_is_swept(tmp_path):
    from fishlearn.parts import _machine_key
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive: archive.writestr("a.txt", "hello")
    (tmp_path / f".new.{_machine_key()}-999999999-0123456789abcdef.part").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "new")
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "new"]


def test_an_archive_without_files_is_refused(tmp_path):
    (tmp_path / "zeros.tar").write_bytes(bytes(10240))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"): pass
    with zipfile.ZipFile(tmp_path / "folders.zip", "w") as archive: archive.writestr("a/", "")
    for name in ("zeros.tar", "empty.zip", "folders.zip"):
        with pytest.raises(JobError, match=f"There are no files in .*{name}; download it again"):
            unpack(tmp_path / name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_names_that_are_too_long_are_told_apart(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive: archive.writestr("a" * 300, "hello")
    with pytest.raises(JobError, match="a name in it is too long"): unpack(tmp_path / "a.zip", tmp_path / "new")
    with pytest.raises(JobError, match="cannot be written: .*; choose a shorter name"):
        unpack(tmp_path / "a.zip", tmp_path / ("b" * 300))
    assert os.listdir(tmp_path) == ["a.zip"]
