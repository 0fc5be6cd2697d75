"""The predictions of *Move packets* with numbers of a student's own."""

from vmio.experiments import net_ping
from vmio.lab.asked import Own


def _accesses(pings: int) -> int:
    return sum(one.device == "tulip" for one in net_ping.run(pings=pings).seen)


def _before(pings: int) -> int:
    found = net_ping.run(pings=pings)
    return found.setup_exits + len(found.seen)


OWN = {
    "one-ping": Own("{pings} pings through a Tulip, one at a time, each with its answer: how many accesses of the card's registers?",
                    {"pings": range(3, 40)}, _accesses),
    "before-the-first-packet": Own("A Tulip is brought up, then {pings} pings are answered, one at a time: how many exits in all?",
                                   {"pings": range(1, 40)}, _before)}
