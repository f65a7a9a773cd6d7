"A web server on this computer that fails on request: the first part of an address says how."
import re
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 100_000


class Practice(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, (how, name) = self.server, self.path.strip("/").split("?")[0].split("/")
        server.times[self.path] += 1
        body, times = server.files.get(name), server.times[self.path]
        since = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.requests.append(int(since[1]) if since else 0)
        if body is None:
            return self.send_error(404)
        if how == "busy" and times == 1:
            return self.send_error(503)
        if how == "down":
            return self.send_error(500)
        if how == "silent":
            return time.sleep(.5)
        if how == "page":
            body = b"<html>Please sign in</html>"
        self.send_file(how, body, server.requests[-1], times)

    def send_file(self, how, body, start, times):
        etag = f'"{hash(body)}"'
        if how in ("forgetful", "boasts") or self.headers.get("If-Range", etag) != etag:
            start = 0
        if start and start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            return self.end_headers()
        ends = {"dead": CHUNK, "breaks": start + CHUNK, "stalls": start + CHUNK, "forgetful": CHUNK * times}
        end = ends.get(how, len(body))
        self.send_response(206 if start else 200)
        self.describe(how, body, etag, start)
        self.end_headers()
        self.wfile.write(body[start:end])
        if how == "stalls" and end < len(body):
            time.sleep(.5)

    def describe(self, how, body, etag, start):
        claim = {"claims-more": 10, "boasts": 10, "claims-less": -10}.get(how, 0)
        if start:
            self.send_header("Content-Range", f"bytes {start + (how == 'shifts')}-{len(body) - 1}/{len(body)}")
        if how != "anonymous":
            self.send_header("ETag", etag)
        if how == "encoded":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", "text/html" if how == "page" else "application/octet-stream")
        if how != "vague":
            self.send_header("Content-Length", str(len(body) - start + claim))


@contextmanager
def practice_server(files):
    "A running server with `files` (name → bytes), `requests` (first byte of each) and `at(how, name)` for addresses."
    server = ThreadingHTTPServer(("127.0.0.1", 0), Practice)
    server.files, server.requests, server.times = files, [], Counter()
    server.handle_error = lambda *args: None
    server.at = lambda how, name="photos.bin": f"http://127.0.0.1:{server.server_port}/{how}/{name}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@contextmanager
def raw_server(answer):
    "A server that sends what `answer(request, send)` sends, byte by byte; yields its address."
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()
    def serve(connection):
        with connection, suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                if not (more := connection.recv(65536)): return
                request += more
            def send(data, pause=0.):
                connection.sendall(data)
                if over.wait(pause): raise OSError("the test is over")
            answer(request, send)
    def accept():
        with suppress(OSError):
            while True: threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    try: yield f"http://127.0.0.1:{listening.getsockname()[1]}/photos.bin"
    finally:
        over.set()
        listening.close()
