"Downloads resume after every kind of failure, and what cannot be downloaded is one sentence."
import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from practice_server import practice_server, raw_server

from fishlearn.errors import ArgumentError, FishlearnError, JobError
from fishlearn.samples.connection import _is_address, _next_address
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


@pytest.mark.parametrize("headers, first", [
    ([b'ETag: "2"', b"Content-Range: bytes 5-9/10"], False),
    ([b'ETag: "1"', b"Content-Range: bytes 5-8/9"], False),
    ([b"Content-Range: bytes */5"], False),
    ([b"Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT", b"Content-Range: bytes 5-9/10"], True),
    ([b'ETag: W/"1"', b"Content-Range: bytes 5-9/10"], True)])
@pytest.mark.parametrize("calls", [1, 2])
def test_versions_are_not_joined(tmp_path, headers, first, calls):
    "A server may send the rest of another version, although it was asked not to."
    def answer(request, send):
        if b"Range" not in request: return send(ok(b"Content-Length: 10", b'ETag: "1"', body=b"01234" if not asked else whole))
        asked.append(request)
        rest = b"" if b"*" in headers[0] else b"abcd" if headers[-1].endswith(b"/9") else b"abcde"
        send(ok(b"Content-Length: %d" % len(rest), *headers, body=rest, status=b"206 Partial Content" if rest else b"416 No"))
    asked, whole = [], b"0123456789"
    with raw_server(answer) as url:
        if calls == 2:
            with pytest.raises(JobError): fetch(url, tmp_path / "a.bin", tries=0)
        assert fetch(url, tmp_path / "a.bin").read_bytes() == (b"01234abcde" if first else whole)


@pytest.mark.parametrize("how, options, why", [
    ("boasts", dict(tries=2), "it broke off after 350kB"),
    ("claims-more", dict(tries=2), "it broke off after 350kB|goes on with another version"),
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
    Path("photos.bin").mkdir()
    with pytest.raises(ArgumentError, match="photos.bin is a folder or a device, and no file"):
        fetch(server.at("good"), "photos.bin", checksum=CHECKSUM)
    assert os.listdir("photos.bin") == []


def test_what_is_no_address_is_refused():
    with pytest.raises(ArgumentError, match="'photos.bin' is no address"):
        fetch("photos.bin", "no.bin")


def ok(*headers, body=b"", status=b"200 OK"):
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body


def chunks(*parts, end=b"0\r\n\r\n"):
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + end


CHUNKED = b"Transfer-Encoding: chunked"
ANSWERS = [
    (ok(b"Content-Length: 5", body=b"hello"), b"hello"),
    (ok(b"Content-Length: 5, 5", body=b"hello"), b"hello"),
    (ok(body=b"hello"), b"hello"),
    (ok(CHUNKED, body=chunks(b"hel", b"lo")), b"hello"),
    (ok(b"Content-Length: 5", body=b"hello and more"), b"hello"),
    (ok(b"Content-Length: abc", body=b"hello"), "a length that is no number"),
    (ok(b"Content-Length: -5", body=b"hello"), "a length that is no number"),
    (ok(b"Content-Length: 5, 6", body=b"hello"), "does not speak HTTP properly"),
    (ok(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), "does not speak HTTP properly"),
    (ok(b"Content-Length: " + b"9" * 5000, body=b"hello"), "a length that is no number"),
    (ok(b"Content-Length: 999999999999999", body=b"hello"), "it has 1.00PB, more than max_bytes=1000"),
    (ok(b"Content-Length: 1001", body=bytes(1001)), "it has 1.00kB, more than max_bytes=1000"),
    (ok(b"Content-Length: 9", body=b"hello"), "it broke off after 5.00B"),
    (ok(body=bytes(5000)), "the server sends more than the limit"),
    (ok(CHUNKED, body=chunks(bytes(999), b"ab")), "the server sends more than the limit"),
    (ok(CHUNKED, b"Content-Length: 4", body=chunks(b"hel", b"lo")), "the server sends more than it announced"),
    (ok(CHUNKED, body=chunks(b"hello", end=b"")), "it broke off after 5.00B"),
    (ok(CHUNKED, body=chunks(b"hello", end=b"zz\r\n")), "it broke off after 5.00B"),
    (ok(CHUNKED, body=b"-5\r\nhello\r\n0\r\n\r\n"), "it broke off after"),
    (ok(b"Content-Encoding: gzip", b"Content-Length: 5", body=b"hello"), "sends it compressed"),
    (ok(b"Content-Length: 0"), "it broke off after 0.00B"),
    (ok(status=b"204 No Content"), "the server answers 204 No Content"),
    (ok(status=b"304 Not Modified"), "the server answers 304 Not Modified"),
    (ok(status=b"599 \x1b[2J\x1b[31mowned"), "the server answers 599;"),
    (ok(status=b"404 \x1b[2J", body=b"\x1b[2J"), "the server answers 404 Not Found"),
    (ok(b"Content-Range: bytes */0", status=b"416 No"), "does not resume"),
    (ok(b"Content-Range: bytes */x", status=b"416 No"), "does not resume"),
    (ok(status=b"416 No"), "does not resume"),
    (ok(body=b"hello", status=b"206 Partial"), "does not resume"),
    (ok(b"Content-Range: bytes 0-4/3", body=b"hello", status=b"206 Partial"), "does not resume"),
    (ok(b"Content-Range: bytes 4-0/5", body=b"hello", status=b"206 Partial"), "does not resume"),
    (ok(b"Content-Range: \x1b[2J", body=b"hello", status=b"206 Partial"), "does not resume"),
    (ok(b"Content-Range: bytes 0-4/5", b"Content-Length: 9", body=b"hello", status=b"206 Partial"), "does not resume"),
    (ok(b"Content-Range: bytes 0-4/5", body=b"hello", status=b"206 Partial"), b"hello"),
    (ok(b"Content-Range: bytes 0-4/5", body=b"hello and more", status=b"206 Partial"), "more than it announced"),
    (ok(*[b"X-%d: y" % i for i in range(5000)], body=b"hello"), "does not speak HTTP properly"),
    (ok(b"X: " + b"y" * 200_000, body=b"hello"), "does not speak HTTP properly"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP properly"),
    (b"\x16\x03\x01\x00\x05hello", "does not speak HTTP properly"),
    (b"", "the server does not answer"),
    (b"HTTP/1.1 200", "it broke off after 0.00B"),
    (ok(b"Location: ftp://127.0.0.1/", status=b"302 Found"), "it redirects to what is no http or https address"),
    (ok(b"Location: file:///etc/passwd", status=b"302 Found"), "it redirects to what is no http"),
    (ok(b"Location: data:,hello", status=b"307 x"), "it redirects to what is no http"),
    (ok(b"Location: http://[::1", status=b"308 x"), "it redirects to what is no http"),
    (ok(b"Location: http://\x1b[2J/", status=b"301 x"), "it redirects to what is no http"),
    (ok(b"Location: http://host:99999/", status=b"303 x"), "it redirects to what is no http"),
    (ok(b"Location: /again", status=b"302 Found"), "it redirects more than ten times"),
    (ok(status=b"302 Found"), "the server answers 302 Found"),
    (ok(status=b"300 Choices"), "the server answers 300 Multiple Choices"),
]


@pytest.mark.parametrize("answer, result", ANSWERS)
def test_every_answer_is_the_file_or_a_reason(tmp_path, monkeypatch, answer, result):
    monkeypatch.chdir(tmp_path)
    with raw_server(lambda request, send: send(answer)) as url:
        if isinstance(result, bytes): assert fetch(url, "photos.bin", max_bytes=1000).read_bytes() == result
        else:
            with pytest.raises(JobError) as error: fetch(url, "photos.bin", max_bytes=1000, tries=1, timeout=5)
            assert result in str(error.value) and "\x1b" not in str(error.value)
            assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 1000
            assert not Path("photos.bin").exists()


@pytest.mark.parametrize("answer", [ok(body=bytes(99)), ok(CHUNKED, body=chunks(bytes(99)))])
def test_a_body_longer_than_the_size_is_not_written(tmp_path, answer):
    with raw_server(lambda request, send: send(answer)) as url:
        with pytest.raises(JobError, match="the server sends more than it announced"):
            fetch(url, tmp_path / "photos.bin", size=50, tries=1)
    assert os.listdir(tmp_path) == []


def test_a_part_that_a_server_calls_complete_is_not_taken_for_an_empty_file(server):
    leave_part("photos.bin", CONTENT[:1000])
    def answer(request, send): send(ok(b"Content-Range: bytes */0", status=b"416 No"))
    with raw_server(answer) as url, pytest.raises(JobError, match="does not resume"):
        fetch(url, "photos.bin", checksum=CHECKSUM, tries=2)


DRIPS = {
    "body": (ok(b"Content-Length: 5000"), b"y"), "endless body": (ok(), b"y"), "chunks": (ok(CHUNKED), b"1\r\ny\r\n"),
    "length of a chunk": (ok(CHUNKED), b"0"), "trailer": (ok(CHUNKED, body=b"0\r\n"), b"X: y\r\n"), "greeting": (b"", b"H"),
    "header": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "redirect": (ok(b"Location: http://127.0.0.1:9/", b"Content-Length: 5000", status=b"302 Found"), b"y")}


@pytest.mark.parametrize("where", DRIPS)
def test_a_server_that_drips_is_given_up(tmp_path, where):
    first, drip = DRIPS[where]
    def answer(request, send):
        send(first)
        while True: send(drip, pause=.05)
    start = time.monotonic()
    with raw_server(answer) as url, pytest.raises(JobError) as error:
        fetch(url, tmp_path / "photos.bin", timeout=.4, tries=2)
    assert time.monotonic() - start < 4
    if where in ("body", "endless body", "chunks"): assert "less than 1.00kB per second arrives" in str(error.value)


@pytest.mark.parametrize("hello, why", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the secure connection fails"), (b"\x16\x03\x03\x40\x00", "could not be downloaded")])
def test_what_does_not_speak_tls_is_a_reason_and_may_drip(tmp_path, hello, why):
    def serve(listening):
        connection, _ = listening.accept()
        with connection:
            connection.sendall(hello)
            for _ in range(200):
                time.sleep(.05)
                connection.sendall(b"y")
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=lambda: suppressed(serve, listening), daemon=True).start()
        with pytest.raises(JobError, match=why):
            fetch(f"https://127.0.0.1:{listening.getsockname()[1]}/", tmp_path / "photos.bin", timeout=.4, tries=2)
    assert time.monotonic() - start < 4


def suppressed(work, *args):
    with suppress(OSError): work(*args)


def test_a_slow_connection_that_moves_gets_its_file(tmp_path):
    def answer(request, send):
        send(ok(b"Content-Length: 3000"))
        for _ in range(30): send(bytes(100), pause=.05)
    with raw_server(answer) as url:
        assert fetch(url, tmp_path / "photos.bin", timeout=.2, tries=1).stat().st_size == 3000


def test_redirects_to_http_are_followed_and_never_back_from_https(server):
    def answer(request, send): send(ok(b"Location: " + server.at("good").encode(), status=b"302 Found"))
    with raw_server(answer) as url: assert is_whole(fetch(url, "photos.bin"))
    with pytest.raises(Exception, match="from https to http"):
        _next_address("https://example.org/1", "http://example.org/1")


@pytest.mark.filterwarnings("error")
def test_cookies_go_along_with_a_redirect_and_odd_ones_do_no_harm(tmp_path):
    seen = []
    def answer(request, send):
        seen.append(b"Cookie: a=b" in request)
        if b"/again" in request: return send(ok(body=b"hello"))
        send(ok(b"Set-Cookie: a=b; Version; Max-Age=x", b"Set-Cookie: \xff;=", b"Location: /again", status=b"302 Found"))
    with raw_server(answer) as url: assert fetch(url, tmp_path / "photos.bin").read_bytes() == b"hello"
    assert seen == [False, True]


def test_a_redirect_with_an_endless_page_is_followed_at_once(server):
    def answer(request, send):
        send(ok(b"Location: " + server.at("good").encode(), status=b"302 Found"))
        while True: send(bytes(100_000))
    with raw_server(answer) as url: assert is_whole(fetch(url, "photos.bin"))


@pytest.mark.parametrize("url", [
    "http://[::1", "http://", "http:///photos.bin", "http://host:port/", "http://host:99999/", "ftp://host/", "//host/",
    "http://ho\x1bst/", "http://host/\r\nX: y", "http://host/\0", "", None, 5, b"http://host/"])
def test_addresses_that_lead_nowhere_are_refused(tmp_path, url):
    assert not _is_address(url)
    with pytest.raises(ArgumentError, match="is no address"):
        fetch(url, tmp_path / "no.bin")


@pytest.mark.parametrize("url", [
    "http://" + "a" * 64 + ".example/", "http://a..example/", "http://*.example/", "http://\udcff.example/", "http://%/", "http://:x@%/"])
def test_hosts_that_cannot_exist_are_one_sentence(tmp_path, url):
    with pytest.raises(FishlearnError): fetch(url, tmp_path / "no.bin", tries=1)


def test_a_password_is_not_shown(server):
    with pytest.raises(JobError) as error:
        fetch(server.at("good", "gone.bin").replace("://", "://me:secret@"), "no.bin")
    assert "secret" not in str(error.value)


def victim(how):
    Path("mine.jpg").write_bytes(b"my photo")
    if how == "link": Path("photos.bin.part").symlink_to("mine.jpg")
    if how == "hard link": os.link("mine.jpg", "photos.bin.part")
    if how == "tag": Path("photos.bin.part.tag").symlink_to("mine.jpg")
    if how == "dangling": Path("photos.bin.part").symlink_to("made.jpg")
    if how == "folder": Path("photos.bin.part").mkdir()
    if how == "pipe": os.mkfifo("photos.bin.part")


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
@pytest.mark.parametrize("how", ["link", "hard link", "tag", "dangling", "folder", "pipe"])
def test_a_part_that_is_not_ours_is_left_alone(server, how):
    victim(how)
    before = sorted(os.listdir())
    assert is_whole(fetch(server.at("breaks"), "photos.bin"))
    assert Path("mine.jpg").read_bytes() == b"my photo" and not Path("made.jpg").exists()
    assert sorted(os.listdir()) == sorted({*before, "photos.bin"})


TWICE = "import sys; from fishlearn.samples.downloads import fetch; fetch(sys.argv[1], 'photos.bin')"


def test_two_processes_that_download_one_file_do_not_mix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    def answer(request, send):
        send(ok(b"Content-Length: 300000", b'ETag: "1"'))
        for i in range(30): send(CONTENT[10_000 * i:10_000 * (i + 1)], pause=.02)
    with raw_server(answer) as url:
        both = [subprocess.Popen([sys.executable, "-c", TWICE, url]) for _ in range(3)]
        assert [p.wait() for p in both] == [0, 0, 0]
    assert Path("photos.bin").read_bytes() == CONTENT[:300_000]
    assert os.listdir() == ["photos.bin"]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_the_mode_follows_the_umask(server):
    before = os.umask(0o027)
    try: assert fetch(server.at("good"), "photos.bin").stat().st_mode & 0o777 == 0o640
    finally: os.umask(before)


def test_a_checksum_of_another_kind_is_refused_before_anything_is_asked(server):
    with pytest.raises(ArgumentError, match="There is no checksum 'crc32'"):
        fetch(server.at("good"), "photos.bin", checksum="crc32:0")
    assert server.requests == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_refused_before_anything_is_asked(tmp_path, kind):
    os.mkdir(tmp_path / "target") if kind == "folder" else os.mkfifo(tmp_path / "target")
    before = os.lstat(tmp_path / "target").st_ino
    with pytest.raises(ArgumentError, match="is a folder or a device, and no file; name a file to write"):
        fetch("http://127.0.0.1:1/a", tmp_path / "target")
    assert os.lstat(tmp_path / "target").st_ino == before and len(os.listdir(tmp_path)) == 1


def test_a_long_pause_does_not_hide_why(tmp_path):
    "The time was up during the pause, and the request after it was cut."
    def answer(request, send): send(ok(b"Retry-After: 999999999", b"Content-Length: 0", status=b"429 Slow Down"))
    with raw_server(answer) as url, pytest.raises(JobError, match="the server answers 429 Too Many Requests"):
        fetch(url, tmp_path / "a.bin", timeout=.3, tries=1)
