"""The name of a request, in answers, logs and audit rows."""

import re
from collections.abc import Iterable
from random import getrandbits
from typing import Final

from app.types import Header, RequestId

HEADER: Final = b"x-request-id"
# What looks like a token is no name: names are in logs, answers, audit rows.
_VALID: Final = re.compile(rb"(?!.*eyJ)[\w.:/+=-]{1,128}", re.ASCII)

_ID_BITS: Final = 128
"""So many that no two requests have the same; it is a name and no secret."""


def request_id_of(headers: Iterable[Header]) -> RequestId:
    """Return the client's `X-Request-ID`, if it is harmless, or make one."""
    for name, value in headers:
        if name == HEADER and _VALID.fullmatch(value):
            return RequestId(value.decode())
    return RequestId(f"{getrandbits(_ID_BITS):032x}")
