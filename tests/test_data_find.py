"Every file below a folder is found once and accounted for."
import os
from pathlib import Path

import pytest
from PIL import Image

from fishlearn.data.find import _find_files, find_photos
from fishlearn.data.folders import from_folder
from fishlearn.data.health import check_photos
from fishlearn.data.summary import photos_summary
from fishlearn.errors import ArgumentError, JobError


def photo(file, colour=0, form="JPEG"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (colour, 90, 60)).save(file, form)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        photo(tmp_path / "Puma" / f"{i}.jpg", i)
        photo(tmp_path / "Guan" / f"{i}.JPG", 100 + i)
    return tmp_path


@pytest.mark.parametrize("place", [
    "@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg", "Puma/@eaDir/0.jpg/t.jpg", "#recycle/0.jpg", "@Recycle/0.jpg", ".dtrash/0.jpg",
    "$RECYCLE.BIN/S-1-5-21/$R0.jpg", "lost+found/1.jpg", "__MACOSX/Puma/._0.jpg", "Puma/.ipynb_checkpoints/0.jpg",
    "System Volume Information/1.jpg", "Puma/.AppleDouble/0.jpg", "@__thumb/0.jpg", "previews.lrdata/0.jpg"])
def test_folders_of_systems_are_not_searched(folder, place):
    photo(folder / place)
    table = from_folder(folder)
    assert table.label.value_counts().to_dict() == {"Guan": 3, "Puma": 3}
    assert table.attrs["passed_over"]["system"] == 1
    assert "of a system or a network drive" in photos_summary(table)


@pytest.mark.parametrize("name, form, used", [
    ("0a1b2c3d", "JPEG", True), ("photo.jpg?1545431", "JPEG", True), ("x.jpg?width=3.5", "PNG", True), ("a.JPG_large", "JPEG", True),
    ("b.jpg.1", "JPEG", True), ("specimen 3.5", "PNG", True), ("scan.orig2", "TIFF", True), ("web", "WEBP", True), ("bmp", "BMP", True),
    ("IMG_1.CR2", "TIFF", False), ("IMG_1.nef", "TIFF", False), ("a.jpg~", "JPEG", False), ("a.jpg.part", "JPEG", False),
    ("a.jpg.bak", "JPEG", False)])
def test_files_without_an_ending_are_looked_at(folder, name, form, used):
    photo(folder / "Tayra" / name, 9, form)
    table = from_folder(folder)
    assert ("Tayra" in set(table.label)) == used
    passed = table.attrs.get("passed_over", {}).get("files", [])
    assert [f["species"] for f in passed] == ([] if used else ["Tayra"])
    assert ("no photo can be used of Tayra" in photos_summary(table)) == (not used)
    if used: assert set(check_photos(table).status) == {"ok"}


def test_text_without_an_ending_is_no_photo(folder):
    (folder / "Puma" / "README").write_text("BM, as some begin")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("text")
    table = from_folder(folder)
    assert len(table) == 6
    assert {f["ending"]: f["files"] for f in table.attrs["passed_over"]["files"]} == {"": 1, ".txt": 1}
    assert "can be used of" not in photos_summary(table)


def test_a_model_among_the_photos_is_no_species(folder):
    model = folder / "my model"
    photo(model / "identified.jpg")
    for name in ("species.json", "model.onnx"): (model / name).touch()
    table = from_folder(folder)
    assert set(table.label) == {"Guan", "Puma"} and table.attrs["passed_over"]["models"] == ["my model"]
    with pytest.raises(ArgumentError, match="is a model folder; give a folder of photos"): find_photos(model)


def test_links_in_circles_end(folder, tmp_path_factory):
    a, b = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    photo(a / "1.jpg", 1)
    photo(b / "2.jpg", 2)
    for place, target in ((a / "to b", b), (b / "to a", a), (folder / "Ocelot", a), (folder / "Tayra", b), (a / "self", a)):
        os.symlink(target, place)
    found = _find_files(folder)
    assert sorted(os.path.realpath(p) for p in found.photos) == sorted({os.path.realpath(p) for p in found.photos})
    assert len(found.photos) == 8 and len(found.links) == 3


def test_a_folder_that_was_found_by_a_link_is_not_found_again(folder, tmp_path_factory):
    pool = tmp_path_factory.mktemp("pool")
    photo(pool / "x" / "1.jpg")
    os.symlink(pool / "x", folder / "A link")
    os.symlink(pool, folder / "B link")
    assert len(find_photos(folder)) == 7


def test_what_a_folder_without_photos_holds_is_named(tmp_path):
    (tmp_path / "a.NEF").touch()
    with pytest.raises(JobError, match=r"There are no photos in .* \(only \.nef\)"): find_photos(tmp_path)


def test_names_that_are_not_utf8(tmp_path):
    for i, label in enumerate((b"D\xf6bel", b"Brachse")):
        for k in range(2):
            file = os.fsencode(tmp_path) + b"/" + label + b"/fr\xfch " + str(k).encode() + b".jpg"
            try: photo(Path(os.fsdecode(file)), 50 * i + k)
            except OSError: pytest.skip("this system allows no such names")
    table = check_photos(from_folder(tmp_path))
    assert table.status.tolist() == ["ok"] * 4 and set(table.label) == {"Döbel", "Brachse"}
    table.to_csv(tmp_path / "table.csv", index=False)
    assert check_photos(tmp_path / "table.csv").status.tolist() == ["ok"] * 4
    photos_summary(table).encode()


def test_a_name_that_only_looks_like_a_code_is_opened_as_it_is(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\x80")
    try: photo(Path(folder, r"\udca0.jpg"))
    except OSError: pytest.skip("this system allows no such names")
    assert check_photos(from_folder(tmp_path)).status.tolist() == ["ok"]


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are text")
@pytest.mark.parametrize("name", [b"#xywh=0,0,0,0", b"a.jpg#xywh=1,2,3,4"])
def test_a_file_named_like_a_part_of_a_photo(tmp_path, name):
    "Also below a folder whose name is not UTF-8."
    folder = os.path.join(os.fsencode(tmp_path / "photos"), b"\x80")
    os.makedirs(folder)
    photo(tmp_path / "a.jpg")
    os.rename(tmp_path / "a.jpg", os.path.join(folder, name))
    table = check_photos(from_folder(tmp_path / "photos"))
    assert table.status.tolist() == ["ok"] and table.width.tolist() == [40]
