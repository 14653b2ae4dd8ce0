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
        raise InvalidJson(f"the payload cannot be written as JSON: {error}") from error
    # Half of a surrogate pair has no UTF-8; the bytes that stand for it are refused by the core, with their place.
    return text.encode("utf-8", "surrogatepass")


def decode(raw: bytes) -> Any:
    """Decode a payload."""
    return json.loads(raw)
