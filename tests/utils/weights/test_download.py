"""Downloads are whole or not there, and a cached file that is not whole is fetched again."""

import hashlib
import http.server
import json
import threading

import pytest

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.weights import download
from maskrcnn_benchmark.utils.weights.download import cache_url, cached_path

CONTENT = bytes(range(256)) * 400
HASHED = f"/w-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Server:
    """A web server on this machine whose answers can be spoilt.

    Attributes:
        faults: the next answers' faults, "truncate", "error" or an HTTP status; answers are good once it is empty.
        requests: (path, Range header) of what was asked for.
    """

    def __init__(self):
        self.faults, self.requests, self.content, self.has_length, self.has_etag = [], [], CONTENT, True, True
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.requests.append((request.path, wanted))
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            request.send_error(fault)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = self.content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        if self.has_length:
            request.send_header("Content-Length", str(len(body)))
        if self.has_etag:
            request.send_header("ETag", '"1"')
        request.end_headers()
        request.wfile.write(body[:1000] if fault == "truncate" else body)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "RETRY_DELAYS", (0, 0))
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["/model_final.pkl", HASHED])
def test_a_file_is_downloaded_once(server, tmp_path, path):
    first = cache_url(server.url + path, tmp_path, progress=False)
    assert cache_url(server.url + path, tmp_path, progress=False) == first
    assert read(first) == CONTENT and len(server.requests) == 1
    assert files_in(tmp_path) == sorted([path[1:], f"{path[1:]}.json"])


def test_a_broken_download_goes_on_where_it_broke(server, tmp_path):
    server.faults = ["truncate"]
    path = cache_url(server.url + "/a.pkl", tmp_path, progress=False)
    assert read(path) == CONTENT
    assert server.requests == [("/a.pkl", None), ("/a.pkl", "bytes=1000-")]


def test_without_a_version_the_file_is_fetched_anew(server, tmp_path):
    server.faults, server.has_etag = ["truncate"], False
    assert read(cache_url(server.url + "/a.pkl", tmp_path, progress=False)) == CONTENT
    assert server.requests == [("/a.pkl", None), ("/a.pkl", None)]


def test_a_download_that_always_breaks_leaves_nothing_and_says_where_to_put_the_file(server, tmp_path):
    server.faults, server.has_etag = ["truncate"] * 9, False
    with pytest.raises(UserError, match=r"only 1000 of 102400 bytes.*put the file at .*a\.pkl by hand") as caught:
        cache_url(server.url + "/a.pkl", tmp_path, progress=False)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 3 and files_in(tmp_path) == []


def test_a_servers_own_errors_are_tried_again_and_its_refusals_are_not(server, tmp_path):
    server.faults = [503]
    assert read(cache_url(server.url + "/a.pkl", tmp_path, progress=False)) == CONTENT
    server.faults = [404]
    with pytest.raises(UserError, match="404"):
        cache_url(server.url + "/b.pkl", tmp_path, progress=False)
    assert len(server.requests) == 3


@pytest.mark.parametrize("path", ["/model_final.pkl", HASHED])
def test_a_truncated_cached_file_is_fetched_again(server, tmp_path, caplog, path):
    cached = cache_url(server.url + path, tmp_path, progress=False)
    with open(cached, "r+b") as file:
        file.truncate(5000)
    assert read(cache_url(server.url + path, tmp_path, progress=False)) == CONTENT
    assert "has 5000 of 102400 bytes: it is downloaded again" in caplog.text


def test_a_truncated_file_of_another_program_is_told_by_the_hash_in_its_name(server, tmp_path, caplog):
    (tmp_path / HASHED[1:]).write_bytes(CONTENT[:5000])
    assert read(cache_url(server.url + HASHED, tmp_path, progress=False)) == CONTENT
    assert "not that of its name: it is downloaded again" in caplog.text


def test_a_file_that_was_put_there_by_hand_is_taken(server, tmp_path):
    for url in (server.url + HASHED, server.url + "/a/model_final.pkl"):
        path = cached_path(url, tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
        assert cache_url(url, tmp_path) == str(path)
    assert server.requests == []
    assert json.loads((tmp_path / f"{HASHED[1:]}.json").read_text())["size"] == len(CONTENT)


def test_a_broken_cached_file_that_cannot_be_fetched_is_named(server, tmp_path):
    path = cached_path(server.url + HASHED, tmp_path)
    path.write_bytes(b"x")
    server.faults = [404]
    with pytest.raises(UserError, match=r"the cached file has the SHA-256.*cannot download"):
        cache_url(server.url + HASHED, tmp_path)
    assert path.read_bytes() == b"x"


def test_content_of_another_hash_is_refused(server, tmp_path):
    server.content = b"something else"
    with pytest.raises(UserError, match="not that of its name"):
        cache_url(server.url + HASHED, tmp_path, progress=False)
    assert files_in(tmp_path) == []


def test_a_file_without_a_length_is_taken_as_it_comes(server, tmp_path):
    server.has_length = False
    assert read(cache_url(server.url + "/a.pkl", tmp_path, progress=False)) == CONTENT


def test_an_endless_answer_is_cut_off(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 1000)
    for server.has_length in (True, False):
        with pytest.raises(UserError, match="more than 1000 bytes"):
            cache_url(server.url + "/a.pkl", tmp_path, progress=False)
    assert files_in(tmp_path) == []


def test_files_of_the_same_name_have_places_of_their_own(tmp_path):
    urls = [f"https://host/{path}/model_final.pkl" for path in ("a", "b", "a/b", "a%2Fb")]
    urls += [
        "https://other/a/model_final.pkl",
        "https://host/a/model_final.pkl?version=2",
        "https://host:8080/a/model_final.pkl",
    ]
    assert len({cached_path(url, tmp_path) for url in urls}) == len(urls)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/../../etc/passwd",
        "https://../a.pkl",
        "https://host/a/%2e%2e/b.pkl",
        f"https://host/{'x' * 5000}",
        "https://host",
    ],
)
def test_no_address_leads_out_of_the_cache(tmp_path, url):
    path = cached_path(url, tmp_path)
    assert tmp_path in path.resolve().parents and max(map(len, path.parts)) < 240


def test_a_name_with_a_hash_lies_where_torch_puts_it(tmp_path):
    assert cached_path("https://host/a/w-0123abcd.pth?x=1", tmp_path) == tmp_path / "w-0123abcd.pth"


def test_nobody_answers(tmp_path):
    with pytest.raises(UserError, match=r"cannot download http://127\.0\.0\.1:9/a\.pkl.*by hand"):
        cache_url("http://127.0.0.1:9/a.pkl", tmp_path)
