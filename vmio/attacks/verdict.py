"""What came of an attack, by what was measured and by nothing else.

    WEDGED   an exception left the host, the watchdog had to stop it, it keeps more
             for one guest than it has room for, or the neighbour's requests came
             late or not at all
    FAIL     bytes that were somebody else's have changed, or the attacker has them
    REJECT   neither, and somebody said no: a status, a fault, a closed channel
    PASS     neither, and nothing was said
"""

from collections.abc import Mapping
from typing import NamedTuple

from vmio.attacks.places import Touch

PASS, REJECT, FAIL, WEDGED = "PASS", "REJECT", "FAIL", "WEDGED"
SLOWEST = 8        # times the time that the neighbour's requests take beside a guest at rest


class Outcome(NamedTuple):
    """A verdict, the evidence for it in words, and how much slower the neighbour's requests were (1.0: not at all)."""

    verdict: str
    evidence: str
    slowdown: float | None
    crossed: tuple = ()     # names of the resources that were changed or leaked
    touched: tuple[Touch, ...] = ()
    answered: int = 0       # of the neighbour's requests
    refused: Mapping[str, int] = {}     # who refused, and how often


def judge(stopped: str | None, held: Mapping[str, tuple[int, int]], slowdown: float | None, changed: list[str], leaked: list[str],
          refused: dict[str, int]) -> Outcome:
    """Return an `Outcome` from what a world has measured.

    `stopped`: why the host or the neighbour is not alive, or None; `held`: {what:
    (number, most)} that the host keeps for the attacker; `changed`, `leaked`: names of
    canaries; `refused`: {who: how often} of refusals.
    """
    too_much = [f"{number:,} {what}, {most:,} is the most" for what, (number, most) in held.items() if number > most]
    crossed = tuple([f"{name} changed" for name in changed] + [f"{name} leaked" for name in leaked])
    if stopped is not None:
        return Outcome(WEDGED, stopped, slowdown, crossed)
    if too_much:
        return Outcome(WEDGED, f"the host keeps {'; '.join(too_much)}", slowdown, crossed)
    if slowdown is not None and slowdown > SLOWEST:
        return Outcome(WEDGED, f"the neighbour's requests took {slowdown:.0f} times their time", slowdown, crossed)
    if crossed:
        return Outcome(FAIL, "; ".join(crossed), slowdown, crossed)
    if refused:
        return Outcome(REJECT, "; ".join(f"{who}: {number}" for who, number in refused.items()), slowdown)
    return Outcome(PASS, "no effect", slowdown)
