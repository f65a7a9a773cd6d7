"Photos are downloaded once, each for its own address, and every failure is a row with its reason."
import io
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from practice_server import practice_server, raw_server

from fishlearn.errors import ArgumentError, JobError
from fishlearn.samples.drawing import draw_photo
from fishlearn.samples.photo_urls import _safe_name, download_species
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
    status = "ok ok ok missing ok missing unreadable missing ok missing"
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


def sent(body, *headers):
    lines = [b"HTTP/1.1 200 OK", *headers, b"Content-Length: %d" % len(body)]
    return lambda request, send: send(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def huge():
    "A PNG of a few bytes that claims 900 megapixels."
    def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("make, status, why", [
    (lambda: photo(0), "ok", ""), (lambda: photo(0)[:900], "unreadable", "not readable as a photo"),
    (huge, "unreadable", "has 900 megapixels"), (lambda: b"", "missing", "broke off"), (lambda: b"GIF89a", "unreadable", "")])
def test_the_limits_of_photos_hold_for_downloads(tmp_path, make, status, why):
    with raw_server(sent(make())) as url: [row] = download_species({"cod": url}, tmp_path).to_dict("records")
    assert row["status"] == status and why in row["reason"]
    assert sorted(os.listdir(tmp_path)) == ["cod"] * (status == "ok")


def test_a_photo_of_too_many_bytes_is_not_downloaded(tmp_path):
    def answer(request, send): send(b"HTTP/1.1 200 OK\r\nContent-Length: 300000001\r\n\r\n" + bytes(1000))
    with raw_server(answer) as url: [row] = download_species({"cod": url}, tmp_path).to_dict("records")
    assert row["reason"] == "not downloaded (it has 300MB, more than max_bytes=300000000)"


def test_an_address_that_drips_costs_its_seconds_and_the_reason_is_ours(tmp_path):
    def answer(request, send):
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        while True: send(b"y", pause=.05)
    start = time.monotonic()
    with raw_server(answer) as url: table = download_species({"cod": [url] * 5}, tmp_path, timeout=5, seconds=.5)
    assert time.monotonic() - start < 3
    assert set(table.reason) == {"not downloaded (it is not complete after 0.5 seconds)"}


def test_text_of_a_server_is_in_no_reason(tmp_path):
    def answer(request, send): send(b"HTTP/1.1 403 \x1b[2Jowned\r\n\r\n")
    with raw_server(answer) as url: table = download_species({"cod": url}, tmp_path)
    assert table.reason[0] == "not downloaded (the server answers 403 Forbidden)"


def test_a_redirect_to_ftp_or_a_file_is_not_followed(tmp_path):
    def answer(request, send): send(b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/1.jpg\r\n\r\n")
    with raw_server(answer) as url: table = download_species({"cod": url}, tmp_path)
    assert table.reason[0] == "not downloaded (it redirects to what is no http or https address)"


ODD = ["x" * 300, "é" * 200, "é" * 200 + "x", "../../evil", "a\0b", "a\x1b[2J", "sp.", "CON", ".", "~", "c\udcffb", "d\nb", "-rf", "$(x)"]


def test_names_of_folders_are_safe_and_stay_apart(tmp_path, server):
    names = [_safe_name(species) for species in ODD]
    assert len({n.casefold() for n in names}) == len(ODD)
    assert all(0 < len(n.encode()) <= 160 and "/" not in n and n.isprintable() for n in names)
    table = download_species({species: server.at("good", "0.jpg") for species in ODD}, tmp_path / "deep/new")
    assert set(table.status) == {"ok"}
    assert sorted(os.listdir(tmp_path / "deep/new")) == sorted(names)
    assert _safe_name("e\u0301") == _safe_name("é")


def test_thousands_of_addresses_are_each_answered_for(tmp_path, server):
    odd = ["http://[::1", "http://", "\0", "http://127.0.0.1:9/x", "data:,x", "http://a..b/", " ", 5, None, "http://\udcff/",
           "http://" + "a" * 70_000 + "/", f" {server.at('good', '0.jpg')} ", server.at("good", "gone.jpg" * 99)]
    urls = pd.DataFrame(dict(url=odd * 80)).assign(label=lambda t: [f"species {i % 7}" for i in t.index])
    start = time.monotonic()
    table = download_species(urls, tmp_path, timeout=2)
    assert len(table) == len(urls) and table.url.tolist() == [u if pd.notna(u) else None for u in urls.url]
    assert all(table.reason[table.status != "ok"].str.len() > 5)
    assert (table.status == "ok").sum() == 80
    assert time.monotonic() - start < 60


def test_what_lies_in_the_way_is_a_reason(server):
    os.mkdir("new")
    Path("new/cod").write_text("my notes")
    table = download_species({"cod": server.at("good", "0.jpg"), "eel": server.at("good", "0.jpg")}, "new")
    assert table.reason.tolist() == ["not kept (File exists)", ""]
    assert Path("new/cod").read_text() == "my notes"


ENDLESS = "import sys; from fishlearn.samples.photo_urls import download_species; download_species({'cod': [sys.argv[1] + str(i) for i in range(5000)]}, 'new')"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interruption_ends_all_downloads(tmp_path):
    def answer(request, send):
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n")
        while True: send(bytes(500), pause=.05)
    with raw_server(answer) as url:
        running = subprocess.Popen([sys.executable, "-c", ENDLESS, url], cwd=tmp_path, stderr=subprocess.DEVNULL)
        while not list(tmp_path.glob("new/.incoming.*/*/photo.part")): time.sleep(.1)
        running.send_signal(signal.SIGINT)
        running.wait(timeout=10)
    assert os.listdir(tmp_path / "new") == []


def test_what_is_missing_is_named(tmp_path):
    table = download_species(pd.DataFrame(dict(label=["cod", "cod", None, " "], url=["", None, "x", "x"])), tmp_path)
    assert table.reason.tolist() == ["no address", "no address", "no species", "no species"]


def test_what_a_killed_download_left_is_swept(tmp_path):
    from fishlearn.parts import _machine_key
    (left := tmp_path / f".incoming.{_machine_key()}-999999999-0123456789abcdef.part").mkdir()
    download_species({}, tmp_path)
    assert not left.exists() and os.listdir(tmp_path) == []
