"""The messages: objects whose compact JSON is exactly 300 bytes, with their number in the id."""

import json
from typing import Any

SIZE = 300

Message = dict[str, Any]


def message(number: int) -> Message:
    """Return the message of this number; the body is made once, since making it is no part of what is measured."""
    return {"id": f"m{number:08d}", **_ENVELOPE, "body": _BODY}


def stamped(number: int, before_ns: int) -> Message:
    """Return the message of this number, with the time before it is sent."""
    stamp = len(f',"before_ns":{before_ns}')
    return {"id": f"m{number:08d}", **_ENVELOPE, "before_ns": before_ns, "body": _BODY[stamp:]}


def encode(made: Message) -> str:
    """Return a message as JSON, for peers that take text."""
    return json.dumps(made, separators=(",", ":"))


_ENVELOPE = {"from": "mayor/", "to": "deacon/", "subject": "convoy arrived, please unload"}
_BODY = "x" * (SIZE - len(encode({"id": "m00000000", **_ENVELOPE, "body": ""})))


def number_of(made: Message) -> int:
    """Return the number of a message."""
    return int(made["id"][1:])


def ranges_of(numbers: list[int]) -> tuple[str, int]:
    """Return numbers as sorted ranges, ``0-4,7``, and how many of them are there more than once."""
    ordered = sorted(set(numbers))
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    text = ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
    return text, len(numbers) - len(ordered)
