"""What the account of messages says; the page's losses and duplicates rest on it."""

from count import Account, common, parse, size, union


def _account(sent: str, received: str, again: int = 0) -> Account:
    account = Account()
    account.sent = parse(sent)
    account.note_received(received, again)
    return account


def test_what_came_once_is_neither_lost_nor_twice() -> None:
    assert _account("0-9", "3-9,0-2").told(left=0) == {"sent": 10, "lost": 0, "twice": 0}


def test_what_neither_came_nor_is_left_is_lost() -> None:
    assert _account("0-9,20-29", "0-4,21-29").told(left=2) == {"sent": 20, "lost": 4, "twice": 0}


def test_what_came_to_two_consumers_or_again_to_one_is_twice() -> None:
    account = _account("0-9", "0-6", again=1)
    account.note_received("5-9", again=0)
    assert account.told(left=0) == {"sent": 10, "lost": 0, "twice": 3}


def test_a_send_that_was_not_confirmed_and_came_hides_no_loss() -> None:
    assert _account("0-9", "0-8,10").told(left=0)["lost"] == 1


def test_producers_are_counted_apart() -> None:
    account = Account()
    account.note_sent(0, 3)
    account.note_sent(10_000_000, 0)
    account.note_sent(20_000_000, 2)
    account.note_received("1,20000000-20000001", again=0)
    assert account.told(left=1) == {"sent": 5, "lost": 1, "twice": 0}


def test_ranges_are_joined_and_compared() -> None:
    assert union(parse("7,0-4,3-5,9")) == [(0, 5), (7, 7), (9, 9)]
    assert size(parse("0-4,7")) == 6
    assert common([(0, 5), (8, 9)], [(4, 8), (9, 12)]) == 4
    assert parse("") == []
