"""A day of a mail daemon.

It delivers what is in ``inbound``, the urgent first; what fails waits in ``outbound`` and comes back; what fails three
times goes to ``dead-letter``; when the fault is mended, it is sent back and delivered.

    python mail_daemon.py DIRECTORY [BACKOFF_MS]
"""

from __future__ import annotations

import sys

import flockq


def deliver_all(inbound: flockq.Queue, patience: float, nobody_at: str | None) -> None:
    """Deliver until nothing has come for so long."""
    while (delivery := inbound.receive(wait=patience)) is not None:
        mail = delivery.message
        failed = mail["to"] == nobody_at
        print("failed" if failed else "ok", delivery.attempts, mail.get("priority", "normal"), delivery.id)
        if failed:
            delivery.nack(f"no session for {mail['to']}")
        else:
            delivery.ack()


def stand(spool: flockq.Spool) -> None:
    """Say how the queues stand."""
    for name in ("inbound", "outbound", "dead-letter"):
        print(name, len(spool.queue(name)))


def main(directory: str = "mail-queues", backoff_ms: str = "1000") -> None:
    """Run the day."""
    backoff = int(backoff_ms) / 1000
    with flockq.Spool.mail(directory) as spool:
        spool.set_config("inbound.backoff", f"{backoff_ms}ms")
        inbound = spool.queue("inbound")

        # Nobody is there to take the mail of this address.
        deliver_all(inbound, 2 * backoff, "mayor/")
        stand(spool)

        # Now somebody is: what was given up for that reason starts again.
        print("redriven", len(spool.queue("dead-letter").redrive(error="no session")))
        deliver_all(inbound, 2 * backoff, None)
        stand(spool)


if __name__ == "__main__":
    main(*sys.argv[1:])
