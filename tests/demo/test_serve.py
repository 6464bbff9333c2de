"""The demo with its server: what requests can have it do, and how it ends."""

import json
import logging
import re
import secrets
import signal
import sys
import urllib.error
import urllib.request

import pytest

pytest.importorskip("gradio")

from starlette.testclient import TestClient

from maskrcnn_benchmark.demo.access import Access
from maskrcnn_benchmark.demo.guard import JOIN
from maskrcnn_benchmark.demo.reader import Reader
from maskrcnn_benchmark.demo.serve import build_app
from maskrcnn_benchmark.demo.session import Demo
from maskrcnn_benchmark.predict.predictor import Predictor

TOKEN = "a-token-of-some-characters"
ADDRESS = "http://127.0.0.1:7860"
UNKNOWN = "this upload is not there; send the image again"


@pytest.fixture(scope="module")
def demo(small):
    return Demo(Predictor(small.checkpoint, device="cpu"), small.images, most_bytes=200_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where uploads of `app` wait."""
    return tmp_path_factory.mktemp("demo") / "uploads"


@pytest.fixture(scope="module")
def app(demo, folder):
    return build_app(demo, Access(TOKEN), folder, Reader())


@pytest.fixture(scope="module")
def running(app):
    """Runs the application, for the clients of all tests."""
    with TestClient(app, base_url=ADDRESS) as client:
        yield client


@pytest.fixture
def client(running, app):
    return opened(app, running)


def opened(app, running):
    """A client that has opened the link, in the event loop of the running application."""
    client = TestClient(app, base_url=ADDRESS)
    client.portal = running.portal
    assert client.get(f"/?token={TOKEN}").status_code == 200
    return client


def events_of(page):
    """{name of an event: (its number, the values that the page sends at first)}, the first of each name."""
    config = json.loads(re.search(r"window\.gradio_config = (\{.*?\});\s*(?:window|</script>)", page, re.S)[1])
    values = {each["id"]: each["props"].get("value") for each in config["components"]}
    return {
        event["targets"][0][1]: (event["id"], [values.get(each) for each in event["inputs"]])
        for event in reversed(config["dependencies"])
    }


class Opened:
    """The page in a client: its events by their name."""

    def __init__(self, client):
        self.client, self.name = client, secrets.token_hex(8)
        self.events = events_of(client.get("/").text)

    def send(self, event, **data):
        number, values = self.events[event]
        body = {"fn_index": number, "data": values, "session_hash": self.name, "event_data": data, "trigger_id": 1}
        return self.client.post(JOIN, json=body)

    def does(self, event, **data):
        """The HTML that an event brings."""
        assert self.send(event, **data).status_code == 200
        lines = self.client.get("/gradio_api/queue/data", params={"session_hash": self.name}).text.split("\n\n")
        messages = [json.loads(line.removeprefix("data: ")) for line in lines if line]
        (done,) = (each for each in messages if each["msg"] == "process_completed")
        return " ".join(each for each in done["output"]["data"] if isinstance(each, str))

    def uploads(self, name, content):
        return self.client.post("/uploads", params={"name": name}, content=content).json()["key"]


def test_an_upload_is_predicted_on_and_leaves_nothing(client, small, folder):
    page = Opened(client)
    html = page.does("upload", key=page.uploads("my photo.jpg", small.images[0].read_bytes()))
    assert "<b>my photo</b>" in html and 'data-task="detection"' in html
    assert list(folder.iterdir()) == []
    links = re.findall(r'href="(answers/[^"]+)"', html)
    assert [client.get(f"/{link}").status_code for link in links] == [200, 200]


def test_a_sample_is_predicted_on(client):
    assert "data-passes" in Opened(client).does("click", index=0)
    assert "there is no such sample" in Opened(client).does("click", index=-1)


@pytest.mark.parametrize(
    "content", [b"words", b"GIF89a" + bytes(9), b"\xff\xd8\xff\xe0" + bytes(40), b"RIFF0000WEBPVP8 "]
)
def test_a_file_that_cannot_be_read_is_told_in_one_line(client, folder, content):
    page = Opened(client)
    html = page.does("upload", key=page.uploads("a.jpg", content))
    assert re.fullmatch(r'<p class="message error" role="alert">a\.jpg [^<\n]+</p>', html.strip())
    assert list(folder.iterdir()) == []


def test_a_mistake_of_ours_is_told_in_general_and_traced_in_the_log(client, small, demo, monkeypatch, caplog):
    page = Opened(client)
    monkeypatch.setattr(demo.predictor, "predict", lambda frames: 1 / 0)
    with caplog.at_level(logging.ERROR):
        html = page.does("upload", key=page.uploads("a.jpg", small.images[0].read_bytes()))
    assert "The network failed on this image (ZeroDivisionError)" in html and "division" not in html
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


def test_an_upload_is_its_sessions_alone(client, app, running, small):
    other = Opened(opened(app, running))
    key = Opened(client).uploads("a.jpg", small.images[0].read_bytes())
    assert UNKNOWN in other.does("upload", key=key)
    assert "<b>a</b>" in Opened(client).does("upload", key=key)


@pytest.mark.parametrize(
    "key", ["guess", "/etc/passwd", "/etc/nothere", "/dev/zero", "../../a", "file:///etc/passwd", 3, None]
)
def test_a_key_is_no_path(client, key):
    assert UNKNOWN in Opened(client).does("upload", key=key)


PATHS = ["/etc/passwd", "/proc/self/environ", "/dev/zero", "/etc", "../../../etc/passwd", "file:///etc/passwd", ADDRESS]


@pytest.mark.parametrize("path", PATHS)
def test_files_that_are_there_are_refused_as_those_that_are_not(client, folder, path):
    def asked(path):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "a.jpg", "url": path}
        number, values = Opened(client).events["upload"]
        body = {"fn_index": number, "data": [file, *values[1:]], "session_hash": "a", "event_data": {"key": file}}
        answers = [client.post(JOIN, json=body), client.post(JOIN, json={**body, "data": values})]
        answers += [client.get(f"/gradio_api/file={path}"), client.get(f"/gradio_api/proxy={path}")]
        answers += [
            client.post(f"/gradio_api/{to}", json=body)
            for to in ("run/_on_upload", "call/_on_upload", "component_server")
        ]
        answers.append(client.post("/gradio_api/upload", files={"files": ("a.jpg", b"data")}))
        return [(answer.status_code, answer.content) for answer in answers]

    before = sorted(folder.parent.rglob("*"))
    found = asked(path)
    assert found == asked("/etc/nothere")
    assert {status for status, _ in found} == {400, 404}
    assert sorted(folder.parent.rglob("*")) == before


def test_uploads_say_how_long_they_are_and_are_not_too_long(client, folder):
    before = sorted(folder.iterdir())
    said = client.post("/uploads?name=a.jpg", content=bytes(200_001))
    assert (said.status_code, said.json()["message"]) == (413, "at most 0 MB are read")
    assert client.post("/uploads?name=a.jpg", content=iter([b"a", b"b"])).status_code == 411
    assert client.post("/uploads?name=a.jpg", content=b"a", headers={"content-length": "9" * 30}).status_code == 413
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}]
)
def test_other_pages_can_upload_nothing(client, headers):
    answer = client.post("/uploads?name=a.jpg", content=b"data", headers=headers)
    assert answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


def test_the_page_holds_no_name_that_a_request_or_a_proxy_told(client):
    told = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=evil.example"}
    text = client.get("/", headers=told).text
    assert "evil.example" not in text and "https://127.0.0.1" not in text


def test_the_page_tells_nothing_of_the_machine(client, small, folder, tmp_path_factory):
    text = client.get("/").text
    for private in (TOKEN, sys.prefix, str(tmp_path_factory.getbasetemp()), str(small.checkpoint)):
        assert private not in text


def test_behind_a_proxy_links_are_those_of_the_public_address(demo, tmp_path):
    access = Access(TOKEN, public_url="https://demo.example.org/net")
    with TestClient(build_app(demo, access, tmp_path / "uploads", Reader()), base_url=ADDRESS) as client:
        client.headers["cookie"] = access.new_cookie(7860)[1][1].decode().partition(";")[0]
        assert '"root":"https://demo.example.org/net"' in client.get("/").text


# The network tells that it was asked, and never ends
ENDLESS = """
import threading
from maskrcnn_benchmark.predict.predictor import Predictor

def predict(self, frames):
    print("at work", flush=True)
    threading.Event().wait()

Predictor.predict = predict
"""


class Person:
    """A client of a demo that runs as a command."""

    def __init__(self, served):
        jar = urllib.request.HTTPCookieProcessor()
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar).open
        self.address = served.address
        self.page = self._open(served.link, timeout=120).read().decode()

    def ask(self, path, body=None):
        request = urllib.request.Request(self.address + path, body, {"Content-Type": "application/json"})
        try:
            return self._open(request, timeout=120)
        except urllib.error.HTTPError as error:
            return error


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_it_answers_others_and_ends_while_a_request_is_at_work(serve, tmp_path):
    with serve(tmp_path, "--port", "0", first=ENDLESS) as served:
        person = Person(served)
        number, values = events_of(person.page)["click"]
        event = {"fn_index": number, "data": values, "session_hash": "page1"}
        zero = {"path": "/dev/zero", "meta": {"_type": "gradio.FileData"}}
        assert person.ask("gradio_api/queue/join", json.dumps({**event, "data": [zero]}).encode()).status == 400
        body = json.dumps({**event, "event_data": {"index": 0}}).encode()
        assert person.ask("gradio_api/queue/join", body).status == 200
        assert served.process.stdout.readline() == "at work\n"
        assert "gradio_config" in Person(served).page
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(120) == 0
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
@pytest.mark.parametrize("number", ["SIGINT", "SIGHUP"])
def test_it_ends_at_a_signal(serve, tmp_path, number):
    with serve(tmp_path, "--port", "0") as served:
        assert "gradio_config" in Person(served).page
        served.process.send_signal(getattr(signal, number))
        assert served.process.wait(120) == 0
        assert served.process.stdout.read() == ""
        assert list(tmp_path.iterdir()) == []
