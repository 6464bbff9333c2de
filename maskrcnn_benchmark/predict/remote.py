"""Images from the net, for those who allow it: over http and https, of a bounded size, in a bounded time."""

import http.client

from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.web import is_address, open_address, reason_of, without_secrets

__all__ = ["fetch", "is_address"]

MOST_BYTES = 64 << 20  # a photograph of 100 million pixels fits
LONGEST_FETCH = 120.0  # seconds for the whole image


def fetch(url: str) -> bytes:
    """The bytes at an address.

    Raises:
        UserError: the address, or one that it leads to, is not of http or https, or the server does not answer, not in
            time, or with more than `MOST_BYTES`.
    """
    told = without_secrets(url)
    try:
        with open_address(url, "images", longest=LONGEST_FETCH) as response:
            return _receive(response, told)
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise UserError(f"{told} cannot be fetched ({reason_of(error)}); open it in a browser to see why") from None


def _receive(response, told):
    too_much = f"{told} has more than {MOST_BYTES >> 20} MiB, which is no image to predict on; give a smaller one"
    if response.length is not None and response.length > MOST_BYTES:
        raise UserError(too_much)
    data = bytearray()
    for block in response.blocks():
        data += block
        if len(data) > MOST_BYTES:
            raise UserError(too_much)
    if response.length is not None and len(data) < response.length:
        raise UserError(f"{told} cannot be fetched (only {len(data)} of {response.length} bytes came); try it again")
    return bytes(data)
