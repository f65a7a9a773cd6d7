"Downloads resume after every kind of failure, and what cannot be downloaded is one sentence."
import hashlib
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from practice_server import practice_server

from fishlearn.errors import ArgumentError, JobError
from fishlearn.samples.downloads import fetch

CONTENT = np.random.default_rng(0).bytes(350_000)
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with practice_server({"photos.bin": CONTENT, "empty.bin": b""}) as running:
        yield running


def is_whole(file):
    return Path(file).read_bytes() == CONTENT


def leave_part(name, content):
    Path(f"{name}.part").write_bytes(content)


def test_a_file_arrives_and_a_second_call_asks_nobody(server):
    file = fetch(server.at("good"), "data/photos.bin", checksum=CHECKSUM)
    assert is_whole(file) and fetch(server.at("good"), "data/photos.bin", checksum=CHECKSUM) == file
    assert server.requests == [0]
    assert os.listdir("data") == ["photos.bin"]


@pytest.mark.parametrize("how, requests", [
    ("breaks", [0, 100_000, 200_000, 300_000]), ("busy", [0, 0])])
def test_only_the_rest_is_requested_again(server, how, requests):
    assert is_whole(fetch(server.at(how), "photos.bin", timeout=5))
    assert server.requests == requests


def test_a_server_that_goes_silent_is_asked_for_the_rest(server):
    assert is_whole(fetch(server.at("stalls"), "photos.bin", timeout=.2))
    assert server.requests == sorted(server.requests) and len(server.requests) == 4


@pytest.mark.parametrize("how", ["forgetful", "shifts", "vague", "encoded"])
def test_unusual_answers_still_give_the_right_file(server, how):
    "The whole file instead of the rest, the rest from a wrong byte, no length, and a wrong encoding."
    leave_part("photos.bin", CONTENT[:1000])
    assert is_whole(fetch(server.at(how), "photos.bin", checksum=CHECKSUM))


def test_a_later_call_resumes(server):
    with pytest.raises(JobError, match="it broke off after 100kB; try again later"):
        fetch(server.at("dead"), "photos.bin", tries=1)
    server.requests.clear()
    assert is_whole(fetch(server.at("good"), "photos.bin"))
    assert server.requests == [100_000]


def test_a_file_that_changed_meanwhile_is_not_joined_to_its_old_part(server):
    with pytest.raises(JobError, match="it broke off"):
        fetch(server.at("dead"), "photos.bin", tries=1)
    server.files["photos.bin"] = CONTENT[::-1]
    assert fetch(server.at("good"), "photos.bin").read_bytes() == CONTENT[::-1]


def test_a_part_of_an_unknown_file_is_not_used(server):
    leave_part("photos.bin", b"from another file")
    assert is_whole(fetch(server.at("anonymous"), "photos.bin"))
    assert server.requests == [0]


@pytest.mark.parametrize("part, requests", [(CONTENT, [350_000]), (CONTENT + b"!", [350_001, 0])])
def test_a_complete_part_needs_only_its_check_and_a_longer_one_is_dropped(server, part, requests):
    leave_part("photos.bin", part)
    assert is_whole(fetch(server.at("good"), "photos.bin", checksum=CHECKSUM))
    assert server.requests == requests


def test_a_server_that_corrects_its_length_is_believed(server):
    assert is_whole(fetch(server.at("claims-more"), "photos.bin"))


@pytest.mark.parametrize("how, options, why", [
    ("boasts", dict(tries=2), "it broke off after 350kB"),
    ("claims-less", dict(size=350_000), "a file of 349990 bytes, not 350000"),
    ("claims-less", dict(checksum=CHECKSUM), "what arrived is not the file that was published"),
    ("good", dict(checksum="md5:0123"), "what arrived is not the file that was published"),
    ("page", {}, "the server sends a web page instead"),
    ("down", dict(tries=2), "the server answers 500 Internal Server Error"),
    ("silent", dict(tries=2, timeout=.1), "the server does not answer"),
    ("good", dict(size=10**18), "a file of 350000 bytes, not 1000000000000000000")])
def test_what_fails_for_good_is_one_sentence(server, how, options, why):
    with pytest.raises(JobError, match=why):
        fetch(server.at(how), "photos.bin", **options)
    assert not Path("photos.bin").exists()


@pytest.mark.parametrize("name, options, why", [
    ("gone.bin", {}, "404 Not Found; try again later, or download it yourself and save it as no.bin."),
    ("empty.bin", dict(tries=1), "it broke off after 0.00B")])
def test_nothing_named_like_the_file_stays(server, name, options, why):
    with pytest.raises(JobError, match=why):
        fetch(server.at("good", name), "no.bin", **options)
    assert not Path("no.bin").exists()


def test_who_is_offline_does_not_wait(server):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{s.getsockname()[1]}/photos.bin"
    with pytest.raises(JobError, match="there is no connection \\(ConnectionError\\)"):
        fetch(closed, "no.bin", tries=100)
    leave_part("photos.bin", CONTENT[:1000])
    with pytest.raises(JobError, match="the connection is gone after 1.00kB"):
        fetch(closed, "photos.bin", checksum=CHECKSUM, tries=2)
    assert Path("photos.bin.part").exists()


def test_a_disk_that_is_too_small_is_noticed_before(server, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(JobError, match="it needs 350kB, the disk has 1.00kB left"):
        fetch(server.at("good"), "photos.bin")


def test_a_place_that_cannot_be_written_is_one_sentence(server):
    Path("hello.txt").write_text("hello")
    with pytest.raises(JobError, match="photos.bin cannot be written"):
        fetch(server.at("good"), "hello.txt/photos.bin")
    Path("photos.bin.part").mkdir()
    with pytest.raises(JobError, match="photos.bin.part cannot be written"):
        fetch(server.at("good"), "photos.bin", checksum=CHECKSUM)


def test_what_is_no_address_is_refused():
    with pytest.raises(ArgumentError, match="'photos.bin' is no address"):
        fetch("photos.bin", "no.bin")
