"""Download a file into torch.hub's cache, whole or not at all, and notice when a cached one is not whole.

A file whose name carries the start of its SHA-256, as in resnet50-0676ba61.pth, lies at checkpoints/NAME like torch's
own downloads. Any other lies at checkpoints/HOST/PATH, because names such as model_final.pkl stand for many files.
Beside each lies NAME.json with its size and SHA-256, written after a download whose size (Content-Length) and hash were
right.
"""

import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import time
import urllib.error
from pathlib import Path
from urllib.parse import urlsplit

import torch
from tqdm import tqdm

from maskrcnn_benchmark.utils.comm import run_once
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import atomic_write, mkdir, open_output, put_in_place, temporary_file
from maskrcnn_benchmark.utils.small_json import read_small_json
from maskrcnn_benchmark.utils.text import is_text
from maskrcnn_benchmark.utils.web import checked_address, open_address, reason_of, without_secrets

logger = logging.getLogger(__name__)

# Seconds to wait before each further attempt
RETRY_DELAYS = (0, 2, 5)
BLOCK = 1 << 20
# No published detector comes near it; an endless response must not fill the disk
MAX_BYTES = 16 << 30
LONGEST_NAME = 200


class _Broken(Exception):
    """A download ended early; another attempt may go on from there."""


def cache_url(url: str, model_dir: str | os.PathLike | None = None, progress: bool = True) -> str:
    """Download `url` unless it has been downloaded before; returns the path of the local file.

    With several processes one per machine downloads and the others wait. A connection that breaks is taken up again
    where it broke, if the server can. A cached file that is not whole is fetched again.

    Args:
        url: an address that starts with http:// or https://.
        model_dir: the cache; "checkpoints" in torch.hub's folder by default.
        progress: show a progress bar.

    Raises:
        UserError: the file cannot be had; the message says where to put it by hand.
    """
    url = checked_address(url, "weights")
    path = cached_path(url, model_dir)
    run_once(lambda: _fetch(url, path, progress), on_each_machine=True)
    return str(path)


def cached_path(url: str, model_dir: str | os.PathLike | None = None) -> Path:
    """Where the file at `url` lies once it has been downloaded."""
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), "checkpoints"))
    parts = urlsplit(url)
    names = [name for name in parts.path.split("/") if name not in ("", ".", "..")] or ["download"]
    if _hash_prefix(names[-1]):
        return folder / _safe_name(names[-1])
    if parts.query:
        # which may be a key to the file, so that it stands in no name
        names[-1] = f"{hashlib.sha256(parts.query.encode()).hexdigest()[:12]}_{names[-1]}"
    host = parts.netloc.rpartition("@")[2].replace(":", "_").strip(".") or "host"
    return folder.joinpath(*(_safe_name(name) for name in (host, *names)))


def _hash_prefix(name):
    found = torch.hub.HASH_REGEX.search(name)
    return found.group(1) if found and len(found.group(1)) >= 8 else ""


def _safe_name(name):
    """`name` without what file systems dislike, and different for different long names."""
    safe = re.sub(r"[^\w.\-+=@%]", "_", name)
    if safe == name and len(safe) <= LONGEST_NAME:
        return safe
    return f"{hashlib.sha256(name.encode()).hexdigest()[:12]}_{safe[-LONGEST_NAME:]}"


def _fetch(url, path, progress):
    fault = _fault_of(path)
    if path.is_file() and not fault:
        return
    if fault:
        logger.warning("%s %s: it is downloaded again", path, fault)
    mkdir(path.parent)
    try:
        with temporary_file(path) as part:
            _download(url, part, progress)
            digest = _sha256(part)
            if not digest.startswith(_hash_prefix(path.name)):
                raise UserError(f"what came has the SHA-256 {digest[:16]}..., not that of its name")
            size = part.stat().st_size
            put_in_place(part, path)
        _write_record(path, {"url": without_secrets(url), "size": size, "sha256": digest})
    except (UserError, OSError, http.client.HTTPException, _Broken) as error:
        cached = f"the cached file {fault}, and " if fault else ""
        raise UserError(
            f"{cached}cannot download {without_secrets(url)} ({reason_of(error)}); put the file at {path} by hand, "
            'or train from random weights with MODEL.WEIGHT ""'
        ) from None


def _fault_of(path):
    """Why a cached file cannot be used, or "". A file that was put there by hand has a record only of its hash."""
    if not path.is_file():
        return ""
    size = path.stat().st_size
    record = _read_record(path)
    if record is not None:
        return "" if size == record["size"] else f"has {size} of {record['size']} bytes"
    prefix = _hash_prefix(path.name)
    if not prefix:
        return "" if size else "is empty"
    digest = _sha256(path)
    if not digest.startswith(prefix):
        return f"has the SHA-256 {digest[:16]}..., not that of its name"
    _write_record(path, {"size": size, "sha256": digest})
    return ""


def _record_path(path):
    return path.with_name(f"{path.name}.json")


def _read_record(path):
    try:
        record = read_small_json(_record_path(path))
    except UserError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("size"), int) else None


def _write_record(path, record):
    try:
        with atomic_write(_record_path(path)) as file:
            file.write(json.dumps(record).encode())
    except UserError as error:  # a cache that somebody else filled may be read-only
        logger.warning("%s: the file is used, but will be checked again next time", error)


def _sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _download(url, part, progress):
    """Write the file at `url` to `part`, in as many attempts as there are delays, and one."""
    validator = None
    for delay in (*RETRY_DELAYS, None):
        try:
            with open_address(url, "weights", _headers(part, validator)) as response:
                validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
                _receive(response, part, progress)
                return
        except urllib.error.URLError as error:
            # nobody answers, or the server does not want to; it may have recovered from its own errors soon
            if getattr(error, "code", 0) < 500 or delay is None:
                raise
            reason = reason_of(error)
        except (_Broken, OSError, http.client.HTTPException) as error:
            reason = reason_of(error)
            if delay is None:
                raise _Broken(reason) from None
        logger.warning("%s: %s; trying again", without_secrets(url), reason)
        time.sleep(delay)


def _headers(part, validator):
    """Of a request for the rest of the file where a part of the same version is there, else for the whole."""
    headers = {"Accept-Encoding": "identity"}
    done = part.stat().st_size
    if done and validator and not validator.startswith("W/") and is_text(validator):
        headers |= {"Range": f"bytes={done}-", "If-Range": validator}
    return headers


def _receive(response, part, progress):
    done = part.stat().st_size
    resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
    start = done if resumed else 0
    total = None if response.length is None else start + response.length
    if total is not None and total > MAX_BYTES:
        raise UserError(f"it has more than {MAX_BYTES} bytes")
    if total is not None and total - start > shutil.disk_usage(part.parent).free:
        raise UserError(f"the disk has no room for its {total} bytes")
    with open_output(part, "ab" if resumed else "wb") as file:
        bar = tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.name[1:40], disable=not progress)
        with bar:
            received = start
            for block in response.blocks():
                received += len(block)
                if received > MAX_BYTES:
                    raise UserError(f"it has more than {MAX_BYTES} bytes")
                file.write(block)
                file.flush()  # where the connection breaks, the next attempt goes on from here
                bar.update(len(block))
    if total is not None and received != total:
        raise _Broken(f"only {received} of {total} bytes came")
