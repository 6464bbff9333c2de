"""Uploads that wait: whose they are, how many, and what they are called."""

import asyncio
import errno

import pytest

pytest.importorskip("gradio")

from fastapi import FastAPI

from maskrcnn_benchmark.demo.guard import Refused
from maskrcnn_benchmark.demo.inbox import MOST_OF_SESSION, MOST_RECEIVED, Inbox, add_inbox, safe_name
from maskrcnn_benchmark.utils.errors import UserError


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path / "inbox", most_bytes=100, most_all_bytes=250)


def is_there(inbox, session, key):
    try:
        with inbox.taken(session, key):
            return True
    except UserError:
        return False


def test_an_upload_is_read_once_and_then_gone(inbox, tmp_path):
    key = inbox.put("mine", "photo.jpg", b"bytes")
    with inbox.taken("mine", key) as path:
        assert path.name == "photo.jpg" and path.read_bytes() == b"bytes"
    assert list((tmp_path / "inbox").iterdir()) == [] and len(inbox) == 0
    with pytest.raises(UserError, match="not there; send the image again"), inbox.taken("mine", key):
        pass


def test_it_is_gone_also_when_it_could_not_be_read(inbox, tmp_path):
    with pytest.raises(ZeroDivisionError), inbox.taken("mine", inbox.put("mine", "a", b"1")):
        raise ZeroDivisionError
    assert list((tmp_path / "inbox").iterdir()) == []


def test_another_session_or_key_is_told_the_same_and_takes_nothing(inbox):
    key = inbox.put("mine", "photo.jpg", b"bytes")
    said = set()
    for session, wrong in (("other", key), ("mine", "guess"), ("mine", None), ("mine", 3), ("mine", "../" + key)):
        with pytest.raises(UserError) as caught, inbox.taken(session, wrong):
            pass
        said.add(str(caught.value))
    assert len(said) == 1 and is_there(inbox, "mine", key)


def test_a_session_has_a_few_and_the_oldest_goes(inbox, tmp_path):
    keys = [inbox.put("mine", "a.jpg", b"1") for _ in range(MOST_OF_SESSION + 1)]
    other = inbox.put("other", "a.jpg", b"1")
    assert len(list((tmp_path / "inbox").iterdir())) == MOST_OF_SESSION + 1
    assert [is_there(inbox, "mine", key) for key in keys] == [False, *[True] * MOST_OF_SESSION]
    assert is_there(inbox, "other", other)


def test_all_sessions_together_have_so_many_bytes(inbox):
    keys = {session: inbox.put(session, "a.jpg", bytes(100)) for session in ("first", "second", "third")}
    assert [is_there(inbox, session, key) for session, key in keys.items()] == [False, True, True]


def test_folders_are_their_owners_alone(inbox, tmp_path):
    inbox.put("mine", "a.jpg", b"1")
    (folder,) = (tmp_path / "inbox").iterdir()
    assert (tmp_path / "inbox").stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_is_told_and_leaves_nothing(inbox, tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(Refused, match="cannot keep the image: No space left on device") as caught:
        inbox.put("mine", "a.jpg", b"1")
    assert caught.value.status == 507 and list((tmp_path / "inbox").iterdir()) == []


async def sent(app, session, body):
    """The status that an upload of a session gets; `body` yields its pieces."""
    pieces = aiter(body)
    statuses = []

    async def receive():
        return {"type": "http.request", "body": await anext(pieces), "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/uploads",
        "query_string": b"name=a.jpg",
        "headers": [(b"content-length", b"1")],
        "state": {"session": session},
    }
    await app(scope, receive, send)
    return statuses[0]


def test_a_session_sends_one_upload_at_a_time_and_all_together_a_few(inbox):
    app = FastAPI()
    add_inbox(app, inbox)

    async def main():
        arrived, waited_for = asyncio.Event(), asyncio.Semaphore(0)

        async def slow():
            waited_for.release()
            await arrived.wait()
            yield b"1"

        async def quick():
            yield b"1"

        slowly = [asyncio.ensure_future(sent(app, f"session {k}", slow())) for k in range(MOST_RECEIVED)]
        for _ in slowly:
            await waited_for.acquire()
        refused = [await sent(app, session, quick()) for session in ("session 0", "another")]
        arrived.set()
        return refused, [await task for task in slowly], await sent(app, "another", quick())

    assert asyncio.run(main()) == ([429, 503], [200] * MOST_RECEIVED, 200)


@pytest.mark.parametrize(
    "name, safe",
    [
        ("my photo (1).jpg", "my photo (1).jpg"),
        ("größe.png", "größe.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\photo.jpg", "photo.jpg"),
        ("/dev/zero", "zero"),
        ("..", "image"),
        ("", "image"),
        (".hidden", "hidden"),
        ("a\x00b\n\x1b[31m.jpg", "a_b_31m.jpg"),
        ("x" * 300 + ".jpg", "x" * 56 + ".jpg"),
    ],
)
def test_names_of_files_are_made_harmless(name, safe):
    assert safe_name(name) == safe
