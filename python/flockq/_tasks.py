"""Receiving in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from ._flockq import Cancel
from ._flockq import Delivery as _Delivery
from ._message import say_too

_Result = TypeVar("_Result")


async def receive(take: Callable[[Cancel], _Delivery | None]) -> _Delivery | None:
    """Take a message in a thread. When the task is cancelled that ends, and what came all the same is given back."""
    cancel = Cancel()
    taking = _in_a_thread(partial(take, cancel), unheard=_give_back)
    try:
        await asyncio.wait([taking])
    except asyncio.CancelledError as cancelled:
        cancel.cancel()
        await _end_of(taking)
        if taking.exception() is None and (delivery := taking.result()) is not None:
            try:
                await _given_back(delivery)
            except Exception as failed:
                say_too(cancelled, f"and giving back the message {delivery.id} said: {failed}")
        raise
    return taking.result()


async def _given_back(delivery: _Delivery) -> None:
    try:
        giving_back = _in_a_thread(partial(_give_back, delivery))
    except RuntimeError:
        # There is no other thread to be had.
        return _give_back(delivery)
    await _end_of(giving_back)
    giving_back.result()


def _give_back(delivery: _Delivery | None) -> None:
    if delivery is not None:
        delivery.nack(None, None)


def _in_a_thread(
    job: Callable[[], _Result], *, unheard: Callable[[_Result], object] | None = None
) -> asyncio.Future[_Result]:
    """Do a job in a thread of its own; `unheard` takes what comes of it when the loop is closed.

    Not in the loop's executor: waits would fill its few threads, so that nobody else's jobs begin, and the program
    would not end before they do.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def run() -> None:
        try:
            result = job()
        except BaseException as error:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(done.set_exception, error)
            return
        try:
            loop.call_soon_threadsafe(done.set_result, result)
        except RuntimeError:
            if unheard is not None:
                unheard(result)

    threading.Thread(target=run, name="flockq receive", daemon=True).start()
    return done


async def _end_of(job: asyncio.Future[Any]) -> None:
    """Wait for a job that ends soon, also when the task is cancelled again."""
    while not job.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([job])
