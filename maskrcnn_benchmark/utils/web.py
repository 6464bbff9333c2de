"""Fetch from the net what a user names and nothing else: over http and https, in good time, with errors of one line.

A server is a stranger: it is followed to http and https only and never contacted otherwise, what it says of lengths is
not believed, and one that does not get on is left. Names and passwords in an address are sent to its own host alone
and stand in no message.
"""

import base64
import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import is_text, printable

SCHEMES = ("http", "https")
MOST_REDIRECTS = 10
# Seconds for one reply of the network, for a server to begin its response, redirects included, and the bytes that must
# come within each so many seconds then
TIMEOUT = 30.0
LONGEST_BEGINNING = 60.0
WINDOW = 30.0
LEAST_PER_WINDOW = 16 << 10
BLOCK = 1 << 20
LONGEST_ADDRESS = 8192
# Digits of a length that a server may declare
MOST_DIGITS = 15
_AGENT = "maskrcnn_benchmark"


class SlowResponse(OSError):
    """A server that did not get on."""


def is_address(text: object) -> bool:
    """Whether a source is an address on the net rather than a path."""
    return isinstance(text, str) and "://" in text


def without_secrets(address: str) -> str:
    """An address for messages, on one line: without name, password and the values of a query. A path stays a path."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return printable(address)
    host, slash, path = rest.partition("/")
    path, question, _ = path.partition("?")
    host, host_question, _ = host.partition("?")
    ending = "?..." if question or host_question else ""
    return printable(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{ending}")


def reason_of(error: Exception) -> str:
    """An error of the network, which may quote the server, on one line: "404 Not Found"."""
    if isinstance(error, urllib.error.HTTPError):
        return printable(f"{error.code} {error.reason}")
    return printable(str(getattr(error, "reason", "") or error) or type(error).__name__, 400)


def checked_address(address: str, what: str) -> str:
    """`address` in the letters that travel: host names in IDNA, anything else that is not ASCII as %XX.

    Args:
        address: as a user typed it.
        what: what is fetched, in the plural, for messages: "weights".

    Raises:
        UserError: it is of another scheme, or nothing can lie there.
    """
    told = without_secrets(address)
    if len(address) > LONGEST_ADDRESS or not is_text(address):
        raise UserError(f"{told} is no address: it is too long or has control characters; check it for typing errors")
    try:
        parts = urlsplit(address.strip())
        host, port = parts.hostname, parts.port
        scheme = parts.scheme.lower()
        if scheme not in SCHEMES:
            raise UserError(
                f"{told}: {what} are fetched over http and https only; give the path of a local file instead"
            )
        if not host:
            raise UserError(f"{told} names no host; write it as https://HOST/PATH")
        if ":" not in host:
            host = host.encode("idna").decode() if not host.isascii() else host
            if not re.fullmatch(r"[\w.-]+", host) or max(map(len, host.split("."))) > 63:
                raise UserError(f"{told} names no host that there can be; check it for typing errors")
        else:
            host = f"[{host}]"
    except ValueError as error:  # a bracket that is not closed, a port that is no number, a host that IDNA refuses
        raise UserError(f"{told} is no address ({printable(str(error), 80)}); check it for typing errors") from None
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    place = f"{quote(user, safe=':@%')}{host}{'' if port is None else f':{port}'}"
    path, query = quote(parts.path, safe="/%:@!$&'()*+,;=~"), quote(parts.query, safe="/%:@!$&'()*+,;=~?")
    return urlunsplit((scheme, place, path or "/", query, ""))


class Response:
    """What a server sends, see `open_address`.

    Attributes:
        status: 200, 206, ...
        headers: of the response.
        length: bytes that are to come as the server says; None if it does not.
    """

    def __init__(self, response: http.client.HTTPResponse, pace: "_Pace") -> None:
        self._response, self._pace = response, pace
        self.status, self.headers = response.status, response.headers
        self.length = None if response.chunked else _declared_length(response.headers.get_all("Content-Length") or [])

    def blocks(self) -> Iterator[bytes]:
        """The bytes, in pieces as they come. Raises `SlowResponse` for a server that does not get on."""
        while True:
            with self._pace.explained():
                block = self._response.read1(BLOCK)
            self._pace.check()
            if not block:
                return
            self._pace.advance(len(block))
            yield block


@contextlib.contextmanager
def open_address(
    address: str, what: str, headers: dict | None = None, longest: float | None = None
) -> Iterator[Response]:
    """The response to a GET of an address, within the block.

    Args:
        address, what: as for `checked_address`.
        headers: further ones of the request.
        longest: seconds for everything; None for no end as long as it gets on.

    Raises:
        UserError: the address, or one that it leads to, is none of http or https.
        urllib.error.HTTPError: the server refuses.
        OSError, http.client.HTTPException: nobody answers, or nothing that is HTTP.
    """
    url = checked_address(address, what)
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=place)), headers={"User-Agent": _AGENT})
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    if at:
        token = base64.b64encode(unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    pace = _Pace(longest)
    opener = urllib.request.OpenerDirector()  # without the usual handlers of file: and ftp: addresses
    for handler in (
        urllib.request.ProxyHandler(),
        _Handler(pace),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(what),
    ):
        opener.add_handler(handler)
    with pace:
        with pace.explained():
            opened = opener.open(request, timeout=TIMEOUT)
        with contextlib.closing(opened):
            response = Response(opened, pace)
            pace.answered()
            yield response


def _declared_length(values):
    if not values:
        return None
    value = values[0].strip()
    if any(other.strip() != value for other in values) or not re.fullmatch(rf"[0-9]{{1,{MOST_DIGITS}}}", value):
        raise http.client.HTTPException(f"the server declares the length {printable(', '.join(values), 40)!r}")
    return int(value)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, says so before anybody else is contacted, and reads no redirect's body."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.left = MOST_REDIRECTS

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        told = without_secrets(req.full_url)
        leads = headers.get("location") or headers.get("uri") or ""
        try:
            target = urljoin(req.full_url, leads)
            scheme = urlsplit(target).scheme.lower()
        except ValueError:
            raise UserError(f"{told} leads to {without_secrets(leads)}, which is no address") from None
        if not leads:
            raise UserError(f"{told} leads to another address and does not say to which")
        if scheme not in SCHEMES:
            raise UserError(
                f"{told} leads to {without_secrets(target)}; {self.what} are fetched over http and https only"
            )
        url = checked_address(target, self.what)
        self.left -= 1
        if self.left < 0:
            raise UserError(f"{told} leads from one address to the next, more than {MOST_REDIRECTS} times")
        parts = urlsplit(url)
        url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        request: Any = self.redirect_request(req, fp, code, msg, headers, url)
        fp.close()
        return self.parent.open(request, timeout=req.timeout)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Handler(urllib.request.AbstractHTTPHandler):
    """Opens http and https with connections that the pace may end."""

    def __init__(self, pace: "_Pace") -> None:
        super().__init__()
        self.pace = pace

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self.pace.watched(http.client.HTTPConnection), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection = self.pace.watched(http.client.HTTPSConnection)
        return self.do_open(connection, req, context=ssl.create_default_context())


class _Pace:
    """Ends connections that do not get on, from a thread of its own: a server may send a byte every few seconds.

    Args:
        longest: seconds for everything, or None.
    """

    def __init__(self, longest: float | None) -> None:
        self.longest = longest
        self.fault = ""
        self._sockets: list[socket.socket] = []
        self._received, self._begun = 0, False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Pace":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def watched(self, connection_class: Any) -> Any:
        """A function that makes connections of a class and tells their sockets to this object."""
        pace = self

        class Watched(connection_class):
            def connect(self):
                super().connect()
                pace._sockets.append(self.sock)

        return Watched

    def answered(self) -> None:
        """The server has begun its response."""
        self._begun = True

    def advance(self, count: int) -> None:
        """So many bytes have come."""
        self._received += count

    def check(self) -> None:
        """Raise `SlowResponse` if the connection was ended."""
        if self.fault:
            raise SlowResponse(self.fault)

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """An error inside the block that comes of an ended connection is raised as `SlowResponse`."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError):
            self.check()
            raise

    def _watch(self):
        start = window = time.monotonic()
        before = 0
        while not self._ended.wait(min(1.0, WINDOW / 4)):
            now = time.monotonic()
            if self.longest is not None and now - start > self.longest:
                return self._end(f"it did not come within {self.longest:.0f} s")
            if not self._begun:
                if now - start > LONGEST_BEGINNING:
                    return self._end(f"the server did not begin its response within {LONGEST_BEGINNING:.0f} s")
                window, before = now, self._received
            elif now - window > WINDOW:
                if self._received - before < LEAST_PER_WINDOW:
                    return self._end(f"only {self._received - before} bytes came within {WINDOW:.0f} s")
                window, before = now, self._received
        return None

    def _end(self, fault):
        self.fault = fault
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
