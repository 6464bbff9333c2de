"""Uploads on their way from a browser to the network: few, not for long, and each for its own session alone."""

import contextlib
import os
import re
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from maskrcnn_benchmark.demo.guard import Refused, read_body
from maskrcnn_benchmark.demo.uploads import MOST_BYTES
from maskrcnn_benchmark.utils.errors import UserError

MOST_ALL_BYTES = 256 << 20  # of all sessions' uploads together
MOST_OF_SESSION = 4  # uploads of one session that wait
MOST_RECEIVED = 4  # uploads that arrive at a time, one of a session: they are in memory meanwhile
PATIENCE = 120  # seconds for an upload to arrive
LONGEST_NAME = 60  # characters; a file system takes 255 bytes
UNKNOWN = "this upload is not there; send the image again"


@dataclass(frozen=True)
class _Waiting:
    session: str
    path: Path
    size: int


class Inbox:
    """Files that sessions sent and that nobody has read yet; beyond its limits the oldest go.

    Args:
        folder: where they lie, each in a folder of its own.
        most_bytes: of one file.
        most_all_bytes: of all of them.
    """

    def __init__(
        self, folder: str | os.PathLike, most_bytes: int = MOST_BYTES, most_all_bytes: int = MOST_ALL_BYTES
    ) -> None:
        self.most_bytes = most_bytes
        self._most_all_bytes = most_all_bytes
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, session: str, name: str, data: bytes) -> str:
        """Keep the bytes of a file for a session; returns the key by which the session can have it read, once."""
        key = secrets.token_urlsafe(16)
        path = self._folder / key / safe_name(name)
        try:
            path.parent.mkdir(mode=0o700)
            path.write_bytes(data)
        except OSError as error:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise Refused(507, f"the demo cannot keep the image: {error.strerror}") from error
        with self._lock:
            self._waiting[key] = _Waiting(session, path, len(data))
            own = [each for each, waiting in self._waiting.items() if waiting.session == session]
            gone = [self._waiting.pop(each) for each in own[:-MOST_OF_SESSION]]
            while len(self._waiting) > 1 and self._bytes() > self._most_all_bytes:
                gone.append(self._waiting.popitem(last=False)[1])
        for waiting in gone:
            _remove(waiting)
        return key

    @contextlib.contextmanager
    def taken(self, session: str, key: Any) -> Iterator[Path]:
        """The path of an upload, which is removed after the block. Raises `UserError` for any but the session's own."""
        with self._lock:
            found = self._waiting.get(key) if isinstance(key, str) else None
            if found is None or found.session != session:
                raise UserError(UNKNOWN)
            del self._waiting[key]
        try:
            yield found.path
        finally:
            _remove(found)

    def _bytes(self):
        return sum(waiting.size for waiting in self._waiting.values())


def add_inbox(app: FastAPI, inbox: Inbox) -> None:
    """Give a FastAPI application behind a `Guard` the address that the page's uploads go to.

    The bytes of a file are the request's body; its name is a parameter. The response is {"key": ...} for `Inbox.taken`,
    or {"message": ...}, a sentence for the user.
    """
    sending: set[str] = set()  # sessions
    app.add_exception_handler(Refused, lambda request, refused: JSONResponse({"message": str(refused)}, refused.status))

    @app.post("/uploads")
    async def receive(request: Request, name: str = ""):
        announced = request.headers.get("content-length", "")
        if not announced.isdecimal():
            raise Refused(411, "an upload says how long it is")
        if len(announced) > 15 or int(announced) > inbox.most_bytes:
            raise Refused(413, f"at most {inbox.most_bytes / 1e6:.0f} MB are read")
        session = request.state.session
        if session in sending:
            raise Refused(429, "the image before is still on its way")
        if len(sending) >= MOST_RECEIVED:
            raise Refused(503, "others are sending images; try again in a moment")
        sending.add(session)
        try:
            data = await read_body(request.receive, inbox.most_bytes, PATIENCE)
            key = await anyio.to_thread.run_sync(inbox.put, session, name, data)
        finally:
            sending.discard(session)
        return JSONResponse({"key": key})


def safe_name(name: str) -> str:
    """A file's name as it is used here: the last part of its sender's, without what a file system or terminal minds."""
    last = re.split(r"[/\\]", name)[-1]
    kept = re.sub(r"[^\w .()+-]+", "_", last).strip(" .")
    return kept[-LONGEST_NAME:].lstrip(" .") or "image"


def _remove(waiting):
    shutil.rmtree(waiting.path.parent)
