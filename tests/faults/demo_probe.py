"""The demo, asked by a stranger: for files of the machine, for endless ones, from elsewhere, for too much."""

import http.client
import importlib.util
import json
import re
import signal
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from faults import processes
from faults.case import FaultClass
from faults.child import WAIT
from faults.judge import check_end
from faults.tools import STOPPED, Tool

SECRET = "a secret of this machine, 5d41402abc4b2a76b9719d911017c592"
MOST_KEPT = 512 << 20  # bytes of all uploads together that a demo may keep
_START = 90.0  # seconds


def _arguments(workplace, out):
    images = workplace.few / "mini_detail" / "images"
    return [workplace.checkpoint, "--device", "cpu", "--port", 0, "--samples", images]


DEMO = Tool("demo", "demo.py", _arguments)


@dataclass
class Answer:
    """Of a request: status (0 for a connection that was closed), headers by small letters, body."""

    status: int
    headers: dict
    body: bytes


class Visitor:
    """A browser as far as a probe needs one.

    Args:
        address: what the demo printed.
    """

    def __init__(self, address):
        parts = urlsplit(address)
        self.host, self.port, self.cookie = parts.hostname, parts.port, None
        opened = self.ask("GET", f"{parts.path or '/'}?{parts.query}")
        if "set-cookie" in opened.headers:
            self.cookie = opened.headers["set-cookie"].partition(";")[0]

    def ask(self, method, path, body=None, headers=(), timeout=WAIT, enough=None):
        """An `Answer`; `enough` ends reading an endless one as soon as the body holds that text."""
        headers = dict(headers)
        if self.cookie:
            headers.setdefault("Cookie", self.cookie)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        data, end = b"", time.monotonic() + timeout
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            while time.monotonic() < end and (part := answer.read1(1 << 16)):
                data += part
                if enough is not None and enough in data:
                    break
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, data)
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, data)
        finally:
            connection.close()

    def event(self, number, data, event_data=None, session="faults"):
        """Send an event of the page; the `Answer` of its stream."""
        event = {"data": data, "event_data": event_data, "fn_index": number, "trigger_id": 4, "session_hash": session}
        headers = {"Content-Type": "application/json"}
        joined = self.ask("POST", "/gradio_api/queue/join", json.dumps(event).encode(), headers)
        if joined.status != 200:
            return joined
        stream = f"/gradio_api/queue/data?session_hash={session}"
        return self.ask("GET", stream, timeout=WAIT, enough=b"process_completed")


def local_files(case, visitor, started):
    """Files of the machine named as uploads: none is read, and nobody learns which there are."""
    secret = case.folder / "secret.txt"
    secret.write_text(SECRET)
    problems, said = [], {}
    for path in (
        str(secret),
        str(case.workplace.checkpoint),
        "/etc/passwd",
        str(case.folder / "not_there"),
        "/proc/self/environ",
    ):
        answer = visitor.event(0, [{"path": path, "meta": {"_type": "gradio.FileData"}}, None, *_controls(visitor)])
        text = answer.body.replace(path.encode(), b"PATH").replace(path.rpartition("/")[2].encode(), b"NAME")
        said[path] = (answer.status, b"is no image" in text or b"truncated" in text)
        direct = visitor.ask("GET", f"/gradio_api/file={path}")
        if direct.status == 200 or SECRET.encode() in answer.body + direct.body:
            problems.append(f"handed out {path}")
    if len(set(said.values())) > 1:
        problems.append("answers tell which files of the machine there are")
    kept = [path for path in (case.folder / "tmp").rglob("*") if path.is_file() and path.stat().st_size < 1 << 20]
    if any(SECRET.encode() in path.read_bytes() for path in kept):
        problems.append("copied a file of the machine into its folder")
    return "local files named as uploads", problems


def endless_file(case, visitor, started):
    """/dev/zero named as an upload: others are answered, and the demo still hears."""
    event = {
        "data": [{"path": "/dev/zero", "meta": {"_type": "gradio.FileData"}}, None, *_controls(visitor)],
        "event_data": None,
        "fn_index": 0,
        "trigger_id": 4,
        "session_hash": "zero",
    }
    headers = {"Content-Type": "application/json"}
    visitor.ask("POST", "/gradio_api/queue/join", json.dumps(event).encode(), headers, timeout=5.0)
    began = time.monotonic()
    answer = visitor.ask("GET", "/", timeout=WAIT)
    problems = []
    if answer.status not in (200, 303):
        problems.append(f"frozen for others: {answer.status} after {time.monotonic() - began:.0f} s")
    return "/dev/zero named as an upload", problems


def at_work(case, visitor, started):
    """A stop signal while it answers."""
    event = {
        "data": [None, *_controls(visitor)],
        "event_data": {"index": 0},
        "fn_index": 1,
        "trigger_id": 5,
        "session_hash": "w",
    }
    headers = {"Content-Type": "application/json"}
    for _ in range(8):
        visitor.ask("POST", "/gradio_api/queue/join", json.dumps(event).encode(), headers, timeout=5.0)
    started.pause(case.random.uniform(0.0, 0.6))
    return "a stop signal while it works", []


def cross_origin(case, visitor, started):
    """Uploads and events that a page of elsewhere sends."""
    problems = []
    elsewhere = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
    boundary = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nx\r\n--b--\r\n'
    form = {"Content-Type": "multipart/form-data; boundary=b", **elsewhere}
    for path, body, headers in (
        ("/gradio_api/upload", boundary, form),
        ("/uploads?name=a.png", b"x", {"Content-Type": "text/plain", **elsewhere}),
        ("/gradio_api/queue/join", b"{}", {"Content-Type": "text/plain", **elsewhere}),
    ):
        answer = visitor.ask("POST", path, body, headers)
        if 200 <= answer.status < 300:
            problems.append(f"takes POST {path.partition('?')[0]} of another origin")
        if answer.headers.get("access-control-allow-origin", "") in ("*", elsewhere["Origin"]):
            problems.append(f"lets pages of another origin read {path.partition('?')[0]}")
    return "requests of another origin", problems


def forwarded_host(case, visitor, started):
    """Headers of a proxy that nobody has set up."""
    problems = []
    for name in ("X-Forwarded-Host", "X-Forwarded-Server", "Forwarded"):
        value = "host=elsewhere.example" if name == "Forwarded" else "elsewhere.example"
        for path in ("/", "/config"):
            answer = visitor.ask("GET", path, headers={name: value, "X-Forwarded-Proto": "https"})
            if b"elsewhere.example" in answer.body:
                problems.append(f"{name} is reflected in {path}")
    answer = visitor.ask("GET", "/", headers={"Host": "elsewhere.example"})
    if answer.status in (200, 303):
        problems.append("answers to a name that is not this machine's")
    return "forwarded and other hosts", problems


def sizes(case, visitor, started):
    """Uploads that are too large, say that they are, or are too many."""
    problems = []
    began = time.monotonic()
    for path in ("/gradio_api/upload", "/uploads?name=a.png"):
        visitor.ask("POST", path, b"", {"Content-Length": str(10 << 30)}, timeout=3.0)
        for number in range(40):
            body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%d.png"\r\n\r\n' % number
            body += bytes(16 << 20) + b"\r\n--b--\r\n"
            answer = visitor.ask("POST", path, body, {"Content-Type": "multipart/form-data; boundary=b"}, timeout=5.0)
            if answer.status in (400, 403, 404, 405, 413, 415, 429):
                break
    kept = sum(path.stat().st_size for path in (case.folder / "tmp").rglob("*") if path.is_file())
    if kept > MOST_KEPT:
        problems.append(f"keeps {kept >> 20} MB of uploads")
    if visitor.ask("GET", "/", timeout=WAIT).status not in (200, 303):
        problems.append(f"answers nobody any more, after {time.monotonic() - began:.0f} s of uploads")
    return "uploads that are too large or too many", problems


PROBES = (local_files, endless_file, at_work, cross_origin, forwarded_host, sizes)


def probe(case):
    """Start a demo, try one thing, and end it by a signal."""
    started = case.start(DEMO.function(case.workplace, case.out), baseline=1 << 30)

    def address():
        if not started.alive():
            return "-"
        with open(started.log, errors="replace") as file:
            found = re.search(r"http://\S+", file.read())
        return found and found[0]

    found = processes.wait_until(lambda: started.alive() is False or address(), _START, 0.2)
    if not isinstance(found, str) or found == "-":
        return "starting", ["the demo did not start", *check_end(started.wait(1.0))]
    what, problems = PROBES[case.number % len(PROBES)](case, Visitor(found), started)
    started.kill(signal.SIGTERM)
    outcome = started.wait(WAIT)
    problems += [f"then {problem}" for problem in check_end(outcome, codes=(0, *STOPPED))]
    left = sorted(path.name for path in (case.folder / "tmp").iterdir())
    if left:
        problems.append(f"left in the temporary folder: {', '.join(left[:3])}")
    return what, problems


def _controls(visitor):
    """Values of the switches, the sliders and the layout of the page: eight tasks."""
    return [*[True] * 8, *[0.5] * 8, "grid"]


def reason_against():
    """Why there is no demo here, "" if there is."""
    return "" if importlib.util.find_spec("gradio") else "gradio is not installed"


CLASSES = [FaultClass("demo", len(PROBES), probe, skip=reason_against, weight=25.0)]
