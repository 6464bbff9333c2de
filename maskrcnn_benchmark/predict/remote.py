"""Images from the net, for those who allow it: over http and https, of a bounded size, in a bounded time."""

import http.client
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from maskrcnn_benchmark.utils.errors import UserError

MOST_BYTES = 64 << 20  # a photograph of 100 million pixels fits
LONGEST_WAIT = 30.0  # seconds for a server to say something
LONGEST_FETCH = 120.0  # seconds for the whole image
_BLOCK = 1 << 18
_SCHEMES = ("http", "https")


def is_address(source):
    """Whether a source is an address on the net rather than a path."""
    return isinstance(source, str) and "://" in source


def fetch(url):
    """The bytes at an address.

    Raises:
        UserError: the address, or one that it leads to, is not of http or https, or the server does not answer, not in
            time, or with more than `MOST_BYTES`.
    """
    if urlsplit(url).scheme.lower() not in _SCHEMES:
        raise UserError(f"{url}: images are fetched over http and https only")
    opener = urllib.request.OpenerDirector()  # without the usual handlers of file: and ftp: addresses
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "maskrcnn_benchmark"})
    try:
        with opener.open(request, timeout=LONGEST_WAIT) as answer:
            return _receive(answer, url)
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError is an OSError
        raise UserError(f"{url} cannot be fetched ({getattr(error, 'reason', '') or error})") from None


def _receive(answer, url):
    data, end = bytearray(), time.monotonic() + LONGEST_FETCH
    while block := answer.read1(_BLOCK):
        data += block
        if len(data) > MOST_BYTES:
            raise UserError(f"{url} has more than {MOST_BYTES >> 20} MiB, which is no image to answer")
        if time.monotonic() > end:
            raise UserError(f"{url} did not come within {LONGEST_FETCH:.0f} s")
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and len(data) < int(length):
        raise UserError(f"{url} cannot be fetched (only {len(data)} of {length} bytes came)")
    return bytes(data)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if urlsplit(newurl).scheme.lower() not in _SCHEMES:
            raise UserError(f"{req.full_url} leads to {newurl}; images are fetched over http and https only")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
