"Photos are downloaded once, each for its own address, and every failure is a row with its reason."
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from practice_server import practice_server

from fishlearn.errors import ArgumentError, JobError
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.photo_urls import download_species
from fishlearn.samples.species import SPECIES


def photo(i):
    buffer = io.BytesIO()
    draw_photo(SPECIES[i], np.random.default_rng(i), 64).photo.save(buffer, "jpeg")
    return buffer.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    large = np.random.default_rng(0).bytes(350_000)
    with practice_server({f"{i}.jpg": photo(i) for i in range(3)} | {"photos.bin": large}) as running:
        yield running


def addresses(at):
    return {"Gadus morhua": [at("good", "0.jpg"), at("good", "1.jpg?size=large"), at("good", "1.jpg?size=small"),
                             at("good", "gone.jpg")],
            "cod/ling": [at("good", "1.jpg"), at("page", "1.jpg"), at("stalls", "photos.bin"), "ftp://photos/1.jpg"],
            "Zeus faber": [at("good", "2.jpg"), None]}


def test_every_address_is_a_row_with_its_own_photo_or_a_reason(server):
    table = download_species(addresses(server.at), "species", timeout=.3)
    status = "ok ok ok missing ok unreadable missing missing ok missing"
    assert table.status.tolist() == status.split()
    for i, name in {0: "0.jpg", 1: "1.jpg", 2: "1.jpg", 4: "1.jpg", 8: "2.jpg"}.items():
        assert Path(table.path[i]).read_bytes() == server.files[name]
    assert table.reason[7] == "not downloaded (no address that begins with http)"
    assert table.reason[9] == "no address"


def test_there_are_no_other_files(server):
    table = download_species(addresses(server.at), "species", timeout=.3)
    files = sorted(p.as_posix() for p in Path("species").rglob("*") if p.is_file())
    assert files == sorted(table.path.dropna())
    assert sorted(os.listdir("species")) == ["Gadus morhua", "Zeus faber", "cod_ling"]


def test_a_second_call_requests_only_what_is_missing(server):
    table = download_species(addresses(server.at), "species", timeout=.3)
    server.files["gone.jpg"] = server.files["0.jpg"]
    server.requests.clear()
    again = download_species(table[::-1].iloc[6:], "species", timeout=.3)
    assert again.path.tolist()[1:] == table.path.tolist()[2::-1]
    assert again.status.tolist() == ["ok"] * 4
    assert len(server.requests) == 1


@pytest.mark.parametrize("urls, why", [
    ({"cod/ling": "http://a", "Cod_ling": "http://a"}, "'cod/ling' and 'Cod_ling' would share a folder"),
    (pd.DataFrame(dict(species=["cod"], url=["x"])), "There is no column 'label'"), (["x"], "not list")])
def test_addresses_that_cannot_be_used_are_refused(urls, why):
    with pytest.raises(ArgumentError, match=why):
        download_species(urls, "new")


def test_a_folder_that_cannot_be_written_is_one_sentence(server):
    Path("hello.txt").touch()
    with pytest.raises(JobError, match="new cannot be written"):
        download_species({"cod": server.at("good", "0.jpg")}, "hello.txt/new")


def test_no_addresses_give_an_empty_table(tmp_path):
    assert download_species({}, tmp_path).columns.tolist() == [
        "path", "label", "group", "split", "status", "reason", "url"]


def test_fastai_alone_loses_failures(server):
    from fastai.vision.utils import download_images
    urls = [server.at("good", "1.jpg"), server.at("page", "1.jpg"), server.at("good", "lost.jpg"), "ftp://photos/1.jpg"]
    download_images("twin", urls=urls, n_workers=2, timeout=1)
    assert len(os.listdir("twin")) == 2
