"""Who may use the demo: its token, the names that it is called by, the cookies that it gives out."""

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from maskrcnn_benchmark.utils.errors import UserError

TOKEN_VARIABLE = "DEMO_TOKEN"  # of the environment: other users of a machine see the arguments of its commands
SHORTEST_TOKEN = 16  # characters of a token that a person chose
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")


@dataclass(frozen=True)
class Access:
    """Who is let in.

    Attributes:
        token: what the link has to hold; "" asks nobody for one.
        is_local: listen to requests that call this machine by a name of its loopback only.
        names: further names that it may be called by.
        public_url: the address under which a proxy offers the demo, "" without one.
    """

    token: str
    is_local: bool = True
    names: frozenset = frozenset()
    public_url: str = ""
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)  # signs the cookies

    def __post_init__(self) -> None:
        if self.token and len(self.token) < SHORTEST_TOKEN:
            raise UserError(f"{TOKEN_VARIABLE} has {len(self.token)} characters; take {SHORTEST_TOKEN} or more")
        if not (self.token.isascii() and self.token.isprintable()):
            raise UserError(f"{TOKEN_VARIABLE} has characters that no address has; take letters and digits")
        if self.public_url:
            _split(self.public_url)

    def link(self, host: str, port: int) -> str:
        """The address to open, with the token, of a demo that listens on `host`."""
        shown = socket.gethostname() if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
        address = self.public_url.rstrip("/") + "/" if self.public_url else f"http://{shown}:{port}/"
        return f"{address}?{urlencode({'token': self.token})}" if self.token else address

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine. A page of the net can have a name point here, but no number."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").rstrip(".").lower()
        if name == "localhost" or name in self.names or (self.public_url and name == _split(self.public_url).hostname):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.is_local

    def is_own(self, origin: str, host: str) -> bool:
        """Whether the value of an Origin header is the demo's own page, as a browser that asks `host` has it."""
        own = {f"http://{host}".lower(), f"https://{host}".lower()}
        if self.public_url:
            url = _split(self.public_url)
            own.add(f"{url.scheme}://{url.netloc}".lower())
        return origin.lower() in own

    def new_cookie(self, port: int) -> tuple[str, tuple[bytes, bytes]]:
        """(session, the header that gives a browser the cookie of it)."""
        session = secrets.token_urlsafe(16)
        url = _split(self.public_url) if self.public_url else None
        path = (url.path if url else "") or "/"
        secure = "; Secure" if url and url.scheme == "https" else ""
        cookie = f"{_cookie_name(port)}={session}.{self._sign(session)}; Path={path}; HttpOnly; SameSite=Lax{secure}"
        return session, (b"set-cookie", cookie.encode())

    def session_of(self, cookies: str, port: int) -> str | None:
        """The session of a Cookie header that this demo gave out, or None."""
        for part in cookies.split(";"):
            name, _, value = part.strip().partition("=")
            session, _, signature = value.partition(".")
            if name == _cookie_name(port) and _same(signature, self._sign(session)):
                return session
        return None

    def opens_with(self, token: str) -> bool:
        """Whether a token is the right one, in a time that tells nothing of it."""
        return bool(self.token) and _same(token, self.token)

    def _sign(self, session):
        return hmac.new(self.secret, session.encode(), hashlib.sha256).hexdigest()


def access_for(host: str, token: str | None = None, public_url: str = "") -> Access:
    """The `Access` of a demo that listens on `host`. A token of None is drawn; "" asks nobody for one."""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    machine = socket.gethostname().lower()
    names = frozenset() if is_local else frozenset((machine, machine.partition(".")[0], host.lower()))
    return Access(secrets.token_urlsafe(24) if token is None else token, is_local, names, public_url)


def _cookie_name(port):
    return f"demo_{port}"  # cookies do not know ports: two demos of a machine would take each other's


def _same(given, right):
    return hmac.compare_digest(given.encode(), right.encode())


def _split(url):
    """The parts of a public address; raises `UserError` where it is none."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        is_good = False
    if not is_good or parts.query or parts.fragment or "@" in parts.netloc or re.search(r"[^!-~]|;", url):
        raise UserError(f"--public-url {url} is no address such as https://demo.example.org/")
    return parts
