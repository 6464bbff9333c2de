"""Hostile requests, and what becomes of them before gradio: nothing that the page does not send gets through."""

import asyncio
import json

import pytest

pytest.importorskip("starlette")

from maskrcnn_benchmark.demo import guard
from maskrcnn_benchmark.demo.access import Access
from maskrcnn_benchmark.demo.guard import Guard, Refused, checked_event

TOKEN = "a-token-of-some-characters"
HOST = "127.0.0.1:7860"
EVENTS = {0: 3, 4: 2}
EVENT = {"data": [None, True, 0.5], "event_data": {"key": "abc"}, "fn_index": 0, "trigger_id": 4, "session_hash": "s1"}


class Behind:
    """The application behind a guard: keeps what it is given, and answers with a header that lets others in."""

    def __init__(self):
        self.scopes, self.bodies = [], []

    async def __call__(self, scope, receive, send):
        self.scopes.append(scope)
        self.bodies.append((await receive()).get("body", b""))
        headers = [(b"access-control-allow-origin", b"*"), (b"x-frame-options", b"ALLOWALL")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"passed"})


class Browser:
    """Asks a `Guard`, with the cookie that it got."""

    def __init__(self, guard):
        self._guard = guard
        self.cookie = None

    def open(self, address="/"):
        status, headers, body = self.ask("GET", address)
        if b"set-cookie" in headers:
            self.cookie = headers[b"set-cookie"].decode().partition(";")[0]
        return status, headers, body

    def ask(self, method, address, body=b"", pieces=1, more_headers=(), **headers):
        path, _, query = address.partition("?")
        named = {"host": HOST, "content_length": str(len(body)), **headers}
        if self.cookie:
            named.setdefault("cookie", self.cookie)
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [
                *((name.replace("_", "-").encode(), value.encode()) for name, value in named.items()),
                *more_headers,
            ],
            "server": ("127.0.0.1", 7860),
        }
        step = -(-len(body) // pieces) or 1
        chunks = [body[place : place + step] for place in range(0, len(body), step)] or [b""]
        sent = []

        async def receive():
            if not chunks:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message):
            sent.append(message)

        asyncio.run(self._guard(scope, receive, send))
        start, *rest = sent
        return start["status"], dict(start["headers"]), b"".join(part.get("body", b"") for part in rest)


@pytest.fixture
def behind():
    return Behind()


@pytest.fixture
def guarded(behind):
    return Guard(behind, Access(TOKEN), EVENTS)


@pytest.fixture
def browser(guarded):
    """A browser that has opened the link."""
    browser = Browser(guarded)
    assert browser.open(f"/?token={TOKEN}")[0] == 303
    return browser


# Addresses that gradio answers, and more that look for a way around
CLOSED = [
    *(f"/gradio_api/file={path}" for path in ("/etc/passwd", "/etc/nothere", "../../etc/passwd", "http://127.0.0.1/")),
    *("/gradio_api/file/etc/passwd", "/file=/etc/passwd", "/file/etc/passwd", "//gradio_api/file=/etc/passwd"),
    *("/gradio_api/proxy=http://127.0.0.1:1/", "/proxy=http://169.254.169.254/", "/gradio_api/upload_progress"),
    *("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/app_id", "/gradio_api/token", "/gradio_api/user"),
    *("/gradio_api/runs", "/gradio_api/run-history/records", "/gradio_api/startup-events", "/gradio_api/queue/status"),
    *("/gradio_api/stream/a/b/c/playlist.m3u8", "/gradio_api/custom_component/a/client/component/index.js"),
    *("/gradio_api/deep_link", "/gradio_api/call/_on_upload/abc", "/gradio_api/vibe-code", "/gradio_api/theme.css"),
    *("/gradio_api/login_check", "/gradio_api/mcp/sse", "/gradio_api/dev/reload", "/gradio_api/profiling/traces"),
    *("/config", "/config/", "/monitoring", "/monitoring/summary", "/monitoring/abc", "/login", "/logout", "/svelte/a"),
    *("/manifest.json", "/pwa_icon", "/robots.txt", "/docs", "/openapi.json", "/app_id", "/info", "/nothere"),
    *(
        "/static/../../routes.py",
        "/static/..",
        "/assets//etc/passwd",
        "/assets/.hidden",
        "/assets/a\\..\\b",
        "/assets/",
    ),
    *("/answers/../config", "/answers/a/b.json", "/answers//picture.png", "/uploads", "/theme.css/", "/\n", "/%2e%2e"),
]
POSTED = [
    *(
        "/gradio_api/upload",
        "/upload",
        "/gradio_api/run/predict",
        "/gradio_api/api/predict",
        "/gradio_api/run/_on_upload",
    ),
    *(
        "/gradio_api/call/_on_upload",
        "/gradio_api/call/v2/_on_upload",
        "/gradio_api/component_server",
        "/gradio_api/cancel",
    ),
    *("/gradio_api/reset", "/gradio_api/process_recording", "/gradio_api/vibe-edit", "/gradio_api/undo-vibe-edit"),
    *("/gradio_api/run-history/connect", "/gradio_api/stream/abc", "/gradio_api/queue/data", "/gradio_api/queue/join/"),
    *("/login", "/queue/join", "/", "/gradio_api/profiling/clear", "/answers/abc/picture.png", "/theme.css"),
]


@pytest.mark.parametrize("method, path", [*(("GET", path) for path in CLOSED), *(("POST", path) for path in POSTED)])
def test_what_the_page_does_not_ask_for_is_not_found_whether_or_not_it_exists(browser, behind, method, path):
    status, _, body = browser.ask(method, path, b'{"data": ["/etc/passwd"]}' if method == "POST" else b"")
    assert (status, body) == (404, b"not found")
    assert behind.scopes == []


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "get"])
def test_other_methods_are_not_found(browser, behind, method):
    assert [browser.ask(method, path)[0] for path in ("/", "/uploads", guard.JOIN)] == [404] * 3
    assert behind.scopes == []


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/theme.css", "/favicon.ico", "/assets/index-abc.js", "/static/js/a.b.js", "/gradio_api/heartbeat/abc"),
        "/answers/aB-_9/answers.json",
    ],
)
def test_what_the_page_asks_for_is_passed_on(browser, behind, path):
    assert browser.ask("GET", path)[0] == 200
    assert behind.scopes[0]["path"] == path and behind.scopes[0]["state"]["session"]


FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}, "orig_name": "passwd"}
HOSTILE_EVENTS = {
    "a file in the place of a value": {**EVENT, "data": [FILE, True, 0.5]},
    "a file that is not there": {**EVENT, "data": [{**FILE, "path": "/etc/nothere"}, True, 0.5]},
    "a device": {**EVENT, "data": [{**FILE, "path": "/dev/zero"}, True, 0.5]},
    "an address": {**EVENT, "data": [{**FILE, "path": "http://169.254.169.254/"}, True, 0.5]},
    "a file in a list": {**EVENT, "data": [[FILE], True, 0.5]},
    "a file as what was clicked": {**EVENT, "event_data": FILE},
    "a file within what was clicked": {**EVENT, "event_data": {"key": FILE}},
    "a path as what was clicked": {**EVENT, "event_data": {"path": "/etc/passwd"}},
    "what was clicked is no dictionary": {**EVENT, "event_data": "/etc/passwd"},
    "many entries of what was clicked": {**EVENT, "event_data": {str(k): k for k in range(5)}},
    "a data address": {**EVENT, "data": ["data:image/png;base64," + "A" * 5000, True, 0.5]},
    "too few values": {**EVENT, "data": [None]},
    "too many values": {**EVENT, "data": [None] * 4},
    "no values": {key: value for key, value in EVENT.items() if key != "data"},
    "values in a dictionary": {**EVENT, "data": {"0": None}},
    "an event that is none": {**EVENT, "fn_index": 77},
    "an event that is a switch": {**EVENT, "fn_index": False},
    "no event": {key: value for key, value in EVENT.items() if key != "fn_index"},
    "an event by name": {**EVENT, "fn_index": "_on_upload"},
    "a page that is a path": {**EVENT, "session_hash": "../../x"},
    "a page without a name": {**EVENT, "session_hash": ""},
    "a long name of a page": {**EVENT, "session_hash": "a" * 33},
    "no page": {key: value for key, value in EVENT.items() if key != "session_hash"},
    "a huge number": {**EVENT, "data": [None, True, 1e300]},
    "a list": [EVENT],
}
HOSTILE_BODIES = {
    **{name: json.dumps(event).encode() for name, event in HOSTILE_EVENTS.items()},
    "no JSON": b"{",
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 60_000,
    "a number of many digits": b'{"fn_index": ' + b"9" * 6000 + b"}",
    "no number": json.dumps({**EVENT, "data": [None, True, float("nan")]}).encode(),
    "an infinite number": json.dumps(EVENT).replace("0.5", "1e999").encode(),
}


@pytest.mark.parametrize("body", HOSTILE_BODIES.values(), ids=HOSTILE_BODIES)
def test_events_that_the_page_does_not_send_are_refused_in_the_same_words(browser, behind, body):
    assert browser.ask("POST", guard.JOIN, body)[::2] == (400, b"the demo's page sends nothing like this")
    assert behind.scopes == []


def test_an_event_of_the_page_is_passed_on_without_what_is_not_known(browser, behind):
    body = json.dumps({**EVENT, "event_id": "x", "oauth_token": "x", "simple_format": True, "batched": True}).encode()
    assert browser.ask("POST", f"{guard.JOIN}?__theme=dark", body, pieces=7)[0] == 200
    assert json.loads(behind.bodies[0]) == EVENT
    headers = dict(behind.scopes[0]["headers"])
    assert headers[b"content-length"] == str(len(behind.bodies[0])).encode()
    assert headers[b"content-type"] == b"application/json" and behind.scopes[0]["query_string"] == b""


def test_a_large_event_is_refused_before_all_of_it_is_read(browser, behind):
    body = json.dumps({**EVENT, "more": "x" * guard.MOST_EVENT_BYTES}).encode()
    assert browser.ask("POST", guard.JOIN, body, pieces=3)[0] == 413
    assert behind.scopes == []


def test_a_request_that_does_not_arrive_is_given_up():
    async def receive():
        await asyncio.Event().wait()

    with pytest.raises(Refused, match=r"longer than 0\.01 seconds") as caught:
        asyncio.run(guard.read_body(receive, 100, 0.01))
    assert caught.value.status == 408


def test_a_request_that_breaks_off_is_refused():
    async def receive():
        return {"type": "http.disconnect"}

    with pytest.raises(Refused, match="not complete"):
        asyncio.run(guard.read_body(receive, 100, 10))


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "192.168.1.2", ""])
def test_another_name_of_the_machine_is_refused_and_not_repeated(browser, behind, host):
    status, headers, body = browser.ask("GET", "/", host=host)
    assert status == 400 and b"evil" not in body and not any(b"evil" in value for value in headers.values())
    assert behind.scopes == []


def test_two_names_at_once_are_refused(browser, behind):
    assert browser.ask("GET", "/", more_headers=[(b"host", b"evil.example")])[0] == 400
    assert behind.scopes == []


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"origin": origin}
            for origin in ("null", "http://evil.example", "http://127.0.0.1:9", "http://localhost:7860")
        ),
        *({"sec_fetch_site": site} for site in ("cross-site", "same-site")),
        {"origin": f"http://{HOST}", "sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
    ],
)
@pytest.mark.parametrize("method, path", [("POST", "/uploads?name=a.png"), ("POST", guard.JOIN), ("GET", "/theme.css")])
def test_requests_of_other_pages_are_refused(browser, behind, method, path, headers):
    status, found, _ = browser.ask(method, path, b"data", **headers)
    assert status == 403 and not any(name.startswith(b"access-control-") for name in found)
    assert behind.scopes == []


def test_a_link_of_another_page_opens_the_demo(browser):
    assert browser.ask("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200
    assert browser.ask("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")[0] == 403


def test_the_page_itself_may_send(browser, behind):
    own = {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}
    assert browser.ask("POST", "/uploads?name=a.png&path=/etc/passwd", b"data", **own)[0] == 200
    assert behind.scopes[0]["query_string"] == b"name=a.png" and behind.bodies == [b"data"]


def test_what_proxies_tell_is_not_believed(browser, behind):
    told = {
        "x_forwarded_host": "evil.example",
        "x_forwarded_proto": "https",
        "x_forwarded_for": "10.0.0.1",
        "forwarded": "host=evil.example",
        "x_gradio_user": "root",
        "x_original_url": "/config",
        "authorization": "Bearer x",
        "range": "bytes=0-1",
    }
    assert browser.ask("GET", "/", **told)[0] == 200
    assert {name for name, _ in behind.scopes[0]["headers"]} == {b"host", b"content-length"}


def test_answers_keep_other_pages_out(browser):
    for status, headers, _ in (browser.ask("GET", "/"), browser.ask("GET", "/nothere")):
        assert status in (200, 404)
        assert headers[b"x-frame-options"] == b"DENY" and headers[b"x-content-type-options"] == b"nosniff"
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
        assert b"connect-src 'self'" in headers[b"content-security-policy"]
        assert b"access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/theme.css", "/uploads", "/config", "/gradio_api/file=/etc/passwd", "/nothere"])
def test_nobody_without_the_link_is_told_anything(guarded, behind, path):
    stranger = Browser(guarded)
    assert stranger.ask("GET", path)[::2] == (401, b"open the demo by its link first")
    assert stranger.ask("POST", path, b"data")[0] == 401
    assert behind.scopes == []


def test_the_door_asks_for_the_token(guarded, behind):
    stranger = Browser(guarded)
    status, headers, body = stranger.open("/")
    assert status == 401 and b'<input name="token"' in body and b"set-cookie" not in headers
    status, headers, body = stranger.open("/?token=<script>")
    assert status == 403 and b"<script>" not in body and b"set-cookie" not in headers
    assert stranger.open("/?" + "token=x&" * 2000)[0] == 401
    assert behind.scopes == []


def test_the_token_gives_a_cookie_and_leaves_the_address(guarded):
    browser = Browser(guarded)
    status, headers, _ = browser.open(f"/?token={TOKEN}")
    assert (status, headers[b"location"]) == (303, b"./")
    assert b"HttpOnly" in headers[b"set-cookie"] and b"SameSite=Lax" in headers[b"set-cookie"]
    assert TOKEN.encode() not in headers[b"set-cookie"]
    assert browser.ask("GET", "/")[0] == 200


def test_a_waived_token_lets_whoever_opens_the_page_in_and_nobody_else(behind):
    visitor = Browser(Guard(behind, Access(""), EVENTS))
    assert visitor.ask("GET", "/theme.css")[0] == 401
    assert visitor.open("/")[0] == 200
    assert visitor.ask("GET", "/theme.css")[0] == 200
    assert behind.scopes[0]["state"]["session"] == behind.scopes[1]["state"]["session"]


def test_the_events_of_a_page_are_its_sessions_alone(guarded, browser, behind):
    other = Browser(guarded)
    other.open(f"/?token={TOKEN}")
    body = json.dumps(EVENT).encode()
    assert other.ask("GET", "/gradio_api/queue/data?session_hash=s1")[0] == 404  # nobody's as yet
    assert browser.ask("POST", guard.JOIN, body)[0] == 200
    assert browser.ask("GET", "/gradio_api/queue/data?session_hash=s1")[0] == 200
    assert other.ask("GET", "/gradio_api/queue/data?session_hash=s1")[0] == 404
    assert other.ask("GET", "/gradio_api/heartbeat/s1")[0] == 404
    assert other.ask("POST", guard.JOIN, body)[0] == 404
    assert len(behind.scopes) == 2


def test_websockets_are_closed(guarded, behind):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(guarded({"type": "websocket", "path": "/", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}] and behind.scopes == []


def test_the_checked_event_is_the_one_that_was_sent():
    assert checked_event(json.dumps(EVENT).encode(), EVENTS) == EVENT
    assert checked_event(b'{"fn_index": 4, "data": ["grid", 3], "session_hash": "a"}', EVENTS)["event_data"] is None
