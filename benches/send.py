"""Sends messages one by one and prints how many microseconds each took."""

import sys
import time

import flockq


def main() -> None:
    directory, count = sys.argv[1], int(sys.argv[2])
    inbound = flockq.Spool(directory, sync="off").queue("inbound")
    message = {"id": "m000000001", "from": "mayor/", "to": "deacon/", "subject": "hello", "body": "x" * 219}
    inbound.send(message)
    started = time.perf_counter()
    for _ in range(count):
        inbound.send(message)
    print((time.perf_counter() - started) / count * 1e6)


if __name__ == "__main__":
    main()
