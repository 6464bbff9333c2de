"""Servers that do not behave: each ends in one line with the address, without what is secret in it, and in time."""

import contextlib
import http.client
import socket
import threading

import pytest

from maskrcnn_benchmark.predict import remote
from maskrcnn_benchmark.predict.remote import fetch
from maskrcnn_benchmark.utils import web
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.model_zoo import local_file
from maskrcnn_benchmark.utils.web import checked_address, open_address, without_secrets
from maskrcnn_benchmark.utils.weights import download


class Server:
    """Answers every request on this machine with the bytes that `answer` yields; `requests` are their heads."""

    def __init__(self):
        self.answer, self.requests = list, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        with contextlib.suppress(OSError):  # the listening socket is closed at the end
            while True:
                connection, _ = self.socket.accept()
                with connection, contextlib.suppress(OSError):
                    self.requests.append(connection.recv(65536).decode())
                    for piece in self.answer():
                        connection.sendall(piece)

    def close(self):
        self.closed.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()

    def drip(self, begin, piece):
        """`begin`, then a piece whenever somebody still waits."""
        yield begin
        while not self.closed.wait(0.02):
            yield piece


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "RETRY_DELAYS", ())
    monkeypatch.setattr(web, "WINDOW", 0.3)
    monkeypatch.setattr(web, "LONGEST_BEGINNING", 0.5)
    server = Server()
    yield server
    server.close()


def whole(body, *headers):
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode() + body


def told(address):
    """What a user is told of weights at an address."""
    with pytest.raises(UserError) as caught:
        local_file(address)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 1200
    return message


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://[::1", "http://[::1 is no address"),
        ("http:///x", "names no host"),
        ("https://", "names no host"),
        ("http://host:99999/x", "is no address"),
        ("http://host:port/x", "is no address"),
        ("http://host/\x00", "control characters"),
        ("http://host/a\nb", "control characters"),
        ("http://" + "h" * 64 + "/x", "names no host"),
        ("http://ho st/x", "names no host"),
        ("http://b\u00fc\u200d" + "x" * 70 + "/", "is no address"),
        ("http://host/" + "x" * 10_000, "too long"),
        ("ftp://host/x", "weights are fetched over http and https only; give the path of a local file"),
        ("gopher://user:secret@host/x", "http and https only"),
        ("file://host/x", "lies on another machine"),
        ("file://[::1", "lies on another machine"),
        ("http://user:secret@[::1", "is no address"),
        ("http://user:secret@host:x/?token=secret", "is no address"),
    ],
)
def test_what_is_no_address_is_said_before_anybody_is_asked(address, message, cache):
    said = told(address)
    assert message in said and "secret" not in said
    if not address.startswith("file"):
        with pytest.raises(UserError) as caught:
            fetch(address)
        assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_an_address_travels_in_letters_that_every_server_knows():
    assert checked_address("HTTP://B\u00fccher.example:80/\u00e4 b%20c?q=\u00f6#part", "weights") == (
        "http://xn--bcher-kva.example:80/%C3%A4%20b%20c?q=%C3%B6"
    )
    assert checked_address("https://[::1]:8/x", "weights") == "https://[::1]:8/x"
    assert checked_address("http://host", "weights") == "http://host/"


def test_messages_have_no_secrets():
    assert without_secrets("https://user:pass@host/a?sig=abc") == "https://host/a?..."
    assert without_secrets("https://host?sig=a@b") == "https://host?..."
    assert without_secrets("a/path with?marks@all") == "a/path with?marks@all"


def test_name_and_password_go_to_their_host_and_nowhere_else(server):
    other = Server()
    other.answer = lambda: [whole(b"image", "Content-Length: 5")]
    server.answer = lambda: [f"HTTP/1.1 302 Found\r\nLocation: {other.url}/b\r\n\r\n".encode()]
    address = f"http://user:p%40ss@127.0.0.1:{server.port}/a"
    with open_address(address, "images") as answer:
        assert b"".join(answer.blocks()) == b"image"
    assert "Authorization: Basic dXNlcjpwQHNz" in server.requests[0]
    assert "Authorization" not in other.requests[0]
    other.close()


@pytest.mark.parametrize("length", ["9" * 5000, "-5", "5, 6", "0x10", "1" * 20, "\u0665"])
def test_a_length_that_is_none_is_refused(server, cache, length):
    server.answer = lambda: [whole(b"hello", f"Content-Length: {length}")]
    for message in (told(f"{server.url}/a.pth"), fetched(server)):
        assert "the server declares the length" in message and server.url in message


def fetched(server, path="/a.png"):
    with pytest.raises(UserError) as caught:
        fetch(f"{server.url}{path}")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def test_less_than_was_declared_is_no_file(server, cache):
    server.answer = lambda: [whole(b"hello", "Content-Length: 50")]
    assert "only 5 of 50 bytes came" in told(f"{server.url}/a.pth") and "only 5 of 50 bytes came" in fetched(server)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_more_than_there_is_room_for_is_refused_before_it_comes(server, cache):
    server.answer = lambda: [whole(b"", "Content-Length: 999999999999999")]
    assert "it has more than" in told(f"{server.url}/a.pth") and "which is no image" in fetched(server)


def test_an_endless_body_ends(server, monkeypatch):
    monkeypatch.setattr(remote, "MOST_BYTES", 1 << 20)

    def endless():
        yield whole(b"")
        while not server.closed.is_set():
            yield bytes(1 << 16)

    server.answer = endless
    assert "which is no image" in fetched(server)


def test_bytes_that_drip_end(server, cache):
    server.answer = lambda: server.drip(whole(b""), b"x")
    assert "bytes came within" in fetched(server)
    server.answer = lambda: server.drip(whole(b"", "Content-Length: 1000000"), b"x")
    assert "bytes came within" in told(f"{server.url}/a.pth")
    server.answer = lambda: server.drip(whole(b"", "Transfer-Encoding: chunked"), b"0")
    assert "bytes came within" in fetched(server)


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_an_answer_that_never_begins_ends(server, begin):
    piece = begin if b"100" in begin else b"X"
    server.answer = lambda: server.drip(begin, piece)
    assert "did not begin its response within" in fetched(server)


def test_headers_without_end_are_refused(server):
    server.answer = lambda: [b"HTTP/1.1 200 OK\r\n" + b"".join(b"H%d: x\r\n" % i for i in range(2000)) + b"\r\n"]
    assert "cannot be fetched (got more than 100 headers)" in fetched(server)
    server.answer = lambda: [b"HTTP/1.1 200 OK\r\nLong: " + b"x" * 200_000 + b"\r\n\r\n"]
    assert "cannot be fetched" in fetched(server)


def test_what_is_no_http_is_no_answer(server):
    for answer in (b"\x00\xff\x00\n\n", b"", b"SSH-2.0-x\r\n", whole(b"zz\r\nhello", "Transfer-Encoding: chunked")):
        server.answer = lambda answer=answer: [answer]
        assert "cannot be fetched" in fetched(server)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://127.0.0.1:{port}/a", "leads to ftp://127.0.0.1:{port}/a; images are fetched over http and https only"),
        ("file:///etc/hostname", "leads to file:///etc/hostname; images are fetched over http and https only"),
        ("data:,hello", "leads to data:,hello; images"),
        ("http://[::1", "leads to http://[::1, which is no address"),
        ("http://host:99999/", "is no address"),
        ("", "does not say to which"),
        ("/again", "leads from one address to the next, more than 10 times"),
    ],
)
def test_a_redirect_is_looked_at_before_it_is_followed(server, location, message):
    other = Server()
    location, message = location.format(port=other.port), message.format(port=other.port)
    server.answer = lambda: [f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode()]
    assert message in fetched(server) and other.requests == []
    other.close()


def test_a_redirects_endless_body_is_not_read(server):
    other = Server()
    other.answer = lambda: [whole(b"image", "Content-Length: 5")]

    def endless():
        yield f"HTTP/1.1 302 Found\r\nLocation: {other.url}/b\r\n\r\n".encode()
        while not server.closed.is_set():
            yield bytes(1 << 16)

    server.answer = endless
    assert fetch(f"{server.url}/a") == b"image"
    other.close()


def test_a_refusal_is_told_with_its_number_and_without_the_query(server, cache):
    server.answer = lambda: [b"HTTP/1.1 403 No\x1b[31m\r\nContent-Length: 0\r\n\r\n"]
    said = told(f"{server.url}/a.pth?token=secret")
    assert "(403 No\\x1b[31m)" in said and "secret" not in said and "put the file at" in said


def test_an_error_of_our_own_is_no_error_of_the_net(server, monkeypatch):
    def broken(self):
        raise AttributeError("a slip of ours")

    monkeypatch.setattr(web.Response, "blocks", broken)
    server.answer = lambda: [whole(b"hello", "Content-Length: 5")]
    with pytest.raises(AttributeError, match="a slip of ours"):
        fetch(f"{server.url}/a.png")


def test_a_broken_status_line_is_http_exceptions_business(server):
    server.answer = lambda: [b"HTTP/1.1 abc\r\n\r\n"]
    with pytest.raises(http.client.HTTPException), open_address(f"{server.url}/a", "images"):
        pass
