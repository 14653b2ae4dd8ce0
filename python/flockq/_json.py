"""JSON in and out."""

from __future__ import annotations

import json
from typing import Any

from ._errors import InvalidJson


def encode(value: Any) -> bytes:
    """Encode a payload; what is no JSON is :class:`InvalidJson`."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJson(f"the payload cannot be written as JSON: {error}; nothing was written") from error
    # Half of a surrogate pair has no UTF-8; the bytes that stand for it are refused by the core, with their place.
    return text.encode("utf-8", "surrogatepass")


def decode(raw: bytes) -> Any:
    """Decode a payload; what Python cannot hold, such as a number of 5000 digits, is :class:`InvalidJson`."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidJson(f"the payload cannot be decoded: {error}; its bytes are in raw") from error


def same(value: Any, raw: bytes) -> bool:
    """Tell whether a value that was decoded from these bytes still says what they say."""
    try:
        # Infinity is what a number that is too large is decoded to.
        return json.dumps(value) == json.dumps(json.loads(raw))
    except (TypeError, ValueError, RecursionError):
        return False
