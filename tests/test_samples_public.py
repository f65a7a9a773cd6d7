"Public sets are downloaded once, shared with fastai, and refused if they are not what was published."
import os
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastai.data.external import URLs, fastai_cfg, fastai_path, untar_data

from fishlearn.errors import JobError
from fishlearn.samples.public import _fastai_check, _set_folders, fish4knowledge, large_scale_fish, pets

NOWHERE = "http://127.0.0.1:9"
KAGGLE = ["Fish_Dataset/Fish_Dataset/Trout/Trout GT/00001.png", "Fish_Dataset/Fish_Dataset/Trout/Trout/00001.png",
          "NA_Fish_Dataset/Trout/00001.png"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    "A server with archives in the layout of the real ones, and a fastai folder of its own."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KAGGLEHUB_CACHE", raising=False)
    fastai_cfg.cache_clear()
    Path("web").mkdir()
    offer("oxford-iiit-pet.tgz", "gztar", [f"oxford-iiit-pet/images/{n}.jpg" for n in ("Abyssinian_1", "pug_2")])
    offer("fishRecognition_GT.tar", "tar", ["fish_image/fish_01/fish_1_1.png", "mask_image/mask_01/mask_1_1.png"])
    offer("a-large-scale-fish-dataset.zip", "zip", KAGGLE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory="web"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    fastai_cfg.cache_clear()


def offer(name, kind, paths):
    for path in paths:
        (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
        (Path(name) / path).write_bytes(b"a photo")
    os.rename(shutil.make_archive(f"packed {name[:-4]}", kind, name), f"web/{name}")


def contents(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_second_call_needs_no_network(web):
    folder = pets("sets", url=f"{web}/oxford-iiit-pet.tgz")
    assert contents(folder) == ["Abyssinian_1.jpg", "pug_2.jpg"]
    assert pets("sets", url=NOWHERE) == folder
    fish = fish4knowledge("sets", url=f"{web}/fishRecognition_GT.tar")
    assert fish4knowledge("sets", url=f"{NOWHERE}/fishRecognition_GT.tar") == fish


def test_fastai_finds_the_same_pets(web):
    assert _set_folders() == (fastai_path("data"), fastai_path("archive"))
    folder = pets("sets", url=f"{web}/oxford-iiit-pet.tgz").parent
    shutil.copytree(folder, fastai_path("data") / "oxford-iiit-pet")
    assert pets() == untar_data(URLs.PETS) / "images"


def test_another_archive_than_the_published_one_is_recognized(web):
    assert _fastai_check(URLs.PETS)["size"] == 811_706_944
    assert _fastai_check(URLs.PETS)["checksum"]("web/oxford-iiit-pet.tgz") is False
    assert _fastai_check("https://example.org/other.tgz") == {}


@pytest.mark.parametrize("load, archive", [(pets, "oxford-iiit-pet.tgz"), (fish4knowledge, "fishRecognition_GT.tar")])
def test_offline_the_error_names_the_file_and_its_place(web, load, archive):
    with pytest.raises(JobError, match="there is no connection") as error:
        load("offline", f"{NOWHERE}/{archive}")
    assert str(error.value).endswith(f"download it yourself and save it as {Path('offline', archive)}.")
    shutil.copy(f"web/{archive}", "offline")
    assert load("offline", f"{NOWHERE}/{archive}").exists()


def test_an_archive_without_photos_is_refused(web):
    offer("other.tar", "tar", ["photos/1.png"])
    with pytest.raises(JobError, match="has no folder fish_image; delete it and call again"):
        fish4knowledge("sets", f"{web}/other.tar")


def test_without_kagglehub_the_error_says_what_to_install_or_download(web, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(JobError, match="pip install kagglehub; try again, or download it yourself from https://www.kaggle"):
        large_scale_fish("sets")


def test_an_archive_from_kaggle_is_used(web):
    Path("sets").mkdir()
    shutil.copy("web/a-large-scale-fish-dataset.zip", "sets")
    assert contents(large_scale_fish("sets")) == contents(large_scale_fish("sets")) == KAGGLE


def test_kagglehub_finds_what_it_downloaded_before(web):
    pytest.importorskip("kagglehub")
    cached = Path("sets/kagglehub/datasets/crowww/a-large-scale-fish-dataset")
    shutil.copytree("a-large-scale-fish-dataset.zip", cached / "versions/2")
    (cached / "2.complete").touch()
    assert contents(large_scale_fish("sets")) == KAGGLE


def test_a_kaggle_that_does_not_answer_is_one_sentence(web, monkeypatch):
    pytest.importorskip("kagglehub")
    monkeypatch.setenv("HTTPS_PROXY", NOWHERE)
    with pytest.raises(JobError, match="Kaggle could not be reached or refused"):
        large_scale_fish("sets")
