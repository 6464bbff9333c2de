"""What stands before the demo's page: who may ask, by which name, from which page, and for which addresses.

Everything that is not named here is refused before gradio sees it, in the same words whether or not it exists.
"""

import asyncio
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from maskrcnn_benchmark.demo.access import Access

MOST_EVENT_BYTES = 64 << 10  # what a page sends when something is clicked; it is some 200 bytes
MOST_TEXT = 200  # characters of a text in it
MOST_QUERY = 4096  # bytes after the question mark of an address
PATIENCE = 10  # seconds for such a request to arrive
MOST_HASHES = 4096  # pages of a browser that are remembered
JOIN = "/gradio_api/queue/join"

# Headers that are passed on. Those by which a proxy tells of itself (X-Forwarded-Host and the like) are not: gradio
# believes them of anybody
_PASSED = frozenset(
    b"host accept accept-encoding accept-language content-type content-length user-agent origin if-none-match "
    b"if-modified-since".split()
)
# gradio's page is built from inline scripts and styles, and compiles the scripts of its HTML components
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_ADDED = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HASH = re.compile(r"[A-Za-z0-9]{1,32}")
_NAMED = r"(?:[A-Za-z0-9_@-][A-Za-z0-9_.@-]*/)*[A-Za-z0-9_@-][A-Za-z0-9_.@-]*"  # no part begins with a dot
_FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The demo asks for its token</title><style>body {{ font: 1rem system-ui; max-width: 34rem; margin: 15vh auto;
padding: 0 1rem; }} input, button {{ font: inherit; padding: .4rem .6rem; }}</style>
<h1>The demo asks for its token</h1><p>{sentence}</p>
<form><input name="token" type="password" autocomplete="off" required aria-label="token">
<button>Open</button></form></html>"""


@dataclass(frozen=True)
class Route:
    """An address of the demo.

    Attributes:
        methods: how it may be asked.
        pattern: regular expression of the path.
        parameters: those of the query that are passed on.
    """

    methods: tuple
    pattern: str
    parameters: tuple = ()


_GET = ("GET", "HEAD")
# All that the page asks for. gradio answers many more addresses: files by their path, uploads, a proxy, an API, logins
ROUTES = (
    Route(_GET, "/"),
    Route(_GET, r"/(?:theme\.css|favicon\.ico)"),
    Route(_GET, rf"/(?:assets|static)/{_NAMED}"),
    Route(_GET, r"/gradio_api/heartbeat/[A-Za-z0-9]{1,32}"),
    Route(_GET, "/gradio_api/queue/data", ("session_hash",)),
    Route(("POST",), JOIN),
    Route(("POST",), "/uploads", ("name",)),
    Route(_GET, r"/answers/[A-Za-z0-9_-]{1,64}/(?:picture\.png|answers\.json)"),
)


class Refused(Exception):
    """A request that is not passed on: a status and a sentence that says nothing of what was asked for."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Guard:
    """ASGI middleware: passes on what the demo's own page asks, with `scope["state"]["session"]`, and refuses the rest.

    Args:
        app: the application behind it.
        access: an `Access`.
        events: {number of an event: how many values its page sends with it}.
    """

    def __init__(self, app: Callable, access: Access, events: Mapping[int, int]) -> None:
        self._app = app
        self._access = access
        self._events = events
        self._sessions: OrderedDict[Any, str] = OrderedDict()  # {hash of a page: the session that it belongs to}

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            return await self._pass_on(scope, receive, _with_headers(send, _ADDED))
        except Refused as refused:
            response = PlainTextResponse(str(refused), refused.status)
            return await response(scope, receive, _with_headers(send, _ADDED))

    async def _pass_on(self, scope, receive, send):
        headers = _headers(scope)
        self._check_names(scope, headers)
        port = (scope.get("server") or (None, 0))[1] or 0
        query = _query(scope)
        is_door = scope["path"] == "/" and scope["method"] in _GET
        session = self._access.session_of(headers.get(b"cookie", ""), port)
        if is_door and "token" in query:
            return await self._open(query["token"], port)(scope, receive, send)
        if session is None:
            if self._access.token or not is_door:
                return await self._ask(scope, receive, send, is_door)
            session, cookie = self._access.new_cookie(port)
            send = _with_headers(send, [cookie])
        route = _route(scope)
        passed = {name: query[name] for name in route.parameters if name in query}
        self._check_hash(scope, passed, session)
        scope = {
            **scope,
            "query_string": urlencode(passed).encode(),
            "headers": [(name, value) for name, value in scope["headers"] if name in _PASSED],
            "state": {**scope.get("state", {}), "session": session},
        }
        if scope["path"] == JOIN:
            event = checked_event(await read_body(receive, MOST_EVENT_BYTES, PATIENCE), self._events)
            self._claim(event["session_hash"], session)
            scope, receive = _replaced(scope, receive, json.dumps(event).encode())
        return await self._app(scope, receive, send)

    def _check_names(self, scope, headers):
        """Refuse a machine's name that is not ours, and what another page than the demo's own has sent."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not self._access.knows(hosts[0].decode("latin-1")):
            raise Refused(400, "the demo is not called by this name; --public-url tells it another")
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site", "same-origin")
        if origin is not None and not self._access.is_own(origin, headers[b"host"]):
            raise Refused(403, "the demo answers its own page only")
        # A link of another page may open the demo, and no more
        is_opened = scope["path"] == "/" and scope["method"] == "GET" and headers.get(b"sec-fetch-mode") == "navigate"
        if site not in ("same-origin", "none") and not is_opened:
            raise Refused(403, "the demo answers its own page only")

    def _open(self, token, port):
        if not self._access.token:
            return RedirectResponse("./", 303)
        if not self._access.opens_with(token):
            return HTMLResponse(_FORM.format(sentence="That was not the right one."), 403)
        _, (name, value) = self._access.new_cookie(port)
        return RedirectResponse("./", 303, {name.decode(): value.decode(), "Cache-Control": "no-store"})

    async def _ask(self, scope, receive, send, is_door):
        if not is_door:
            raise Refused(401, "open the demo by its link first")
        sentence = "It is in the link that the terminal of the demo shows."
        return await HTMLResponse(_FORM.format(sentence=sentence), 401)(scope, receive, send)

    def _check_hash(self, scope, passed, session):
        """Refuse the events of another session's page."""
        if scope["path"].startswith("/gradio_api/heartbeat/"):
            self._claim(scope["path"].rpartition("/")[2], session)
        elif scope["path"] == "/gradio_api/queue/data":
            found = passed.get("session_hash", "")
            if self._sessions.get(found) != session:
                raise Refused(404, "not found")

    def _claim(self, page, session):
        if self._sessions.setdefault(page, session) != session:
            raise Refused(404, "not found")
        self._sessions.move_to_end(page)
        while len(self._sessions) > MOST_HASHES:
            self._sessions.popitem(last=False)


def checked_event(body: bytes, events: Mapping[int, int]) -> dict:
    """What a page sent when something was clicked, in the form that gradio takes; raises `Refused`.

    Values are numbers, switches and short texts. gradio takes a dictionary among them for a file, which it would look
    for, copy and hash.
    """
    try:
        sent = json.loads(body, parse_constant=_no_number)
        number, values, page = sent["fn_index"], sent["data"], sent["session_hash"]
        data = sent.get("event_data")
        is_good = (
            type(number) is int
            and isinstance(values, list)
            and len(values) == events.get(number)
            and all(map(_is_plain, values))
            and isinstance(page, str)
            and _HASH.fullmatch(page) is not None
            and (data is None or (isinstance(data, dict) and len(data) <= 4 and all(map(_is_plain, data.values()))))
            and all(len(name) <= MOST_TEXT and name not in ("path", "meta") for name in data or ())
            and _is_plain(sent.get("trigger_id"))
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # no JSON, or no such dictionary
        is_good = False
    if not is_good:
        raise Refused(400, "the demo's page sends nothing like this")
    return {
        "data": values,
        "event_data": data,
        "fn_index": number,
        "trigger_id": sent.get("trigger_id"),
        "session_hash": page,
    }


def _no_number(text):
    raise ValueError(text)


def _is_plain(value):
    if isinstance(value, str):
        return len(value) <= MOST_TEXT
    if isinstance(value, int | float):
        return abs(value) <= 2**53
    return value is None


def _route(scope):
    for route in ROUTES:
        if re.fullmatch(route.pattern, scope["path"]) and scope["method"] in route.methods:
            return route
    raise Refused(404, "not found")


async def read_body(receive: Callable, most_bytes: int, seconds: float) -> bytes:
    """The bytes of a request; raises `Refused` for one of more than `most_bytes`, or that takes longer to arrive."""
    try:
        return await asyncio.wait_for(_whole(receive, most_bytes), seconds)
    except asyncio.TimeoutError:
        raise Refused(408, f"the request took longer than {seconds} seconds to arrive") from None


async def _whole(receive, most_bytes):
    parts, size, has_more = [], 0, True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request is not complete")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most_bytes:
            raise Refused(413, f"at most {most_bytes} bytes are read")
        has_more = message.get("more_body", False)
    return b"".join(parts)


def _replaced(scope, receive, body):
    """(scope, receive) of a request with another body."""
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"content-type")]
    kept += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_once():
        return waiting.pop() if waiting else await receive()

    return {**scope, "headers": kept}, receive_once


def _with_headers(send, added):
    """`send` with headers in place of those of the same name, and without any that let other pages in."""
    names = {name for name, _ in added}

    async def send_more(message):
        if message["type"] == "http.response.start":
            kept = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.lower() not in names and not name.lower().startswith(b"access-control-")
            ]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return send_more


def _headers(scope):
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


def _query(scope):
    """{parameter: value} of an address, nothing of one that is too long."""
    if len(scope["query_string"]) > MOST_QUERY:
        return {}
    return dict(parse_qsl(scope["query_string"].decode("latin-1")))
