"""Two rules of sharing, whose numbers are in their own documents."""

from vmio.experiments.papers.result import Result, Row, figure
from vmio.experiments.sharing import run_sharing, weights_tree
from vmio.host.throttle import Bucket

COOLDOWN_NS, SECOND = 100_000_000, 1_000_000_000


def limited(size: int, seconds: int = 10) -> float:
    """Requests/s of a greedy guest at a bucket of 1,000 a second that holds `size` and closes for 100 ms when empty."""
    bucket, now, taken = Bucket(1000, size, cooldown_ns=COOLDOWN_NS), 0, -size     # it begins full
    while now < seconds * SECOND:
        when = bucket.ready(1, now)
        if when > now:
            now = when
        else:
            bucket.take(1)
            taken += 1
    return taken / seconds


def run() -> Result:
    """Weights of a tree on a real queue, and a limit with a cool-down."""
    shares = 100 * run_sharing(weights_tree(), "mclock").shares
    alone, all_three = shares[:, 2:19].mean(axis=1), shares[:, 22:].mean(axis=1)
    rows = (
        Row("A0 of A, B idle, %", figure("Q01.1a"), float(alone[0]), "rule", 0.01),
        Row("A0 of A, B (weight 3 A) active, %", figure("Q01.1b"), float(all_three[0]), "rule", 0.01),
        Row("B, %", figure("Q01.1c"), float(all_three[2]), "rule", 0.01),
        Row("1,000 in 1,000 ms: requests/s", (figure("Q02.1a"), figure("Q02.1b")), limited(1000), "rule", 0.01),
        Row("10 in 10 ms: requests/s", (figure("Q02.2a"), figure("Q02.2b")), limited(10), "rule", 0.01),
    )
    return Result("Shares and limits",
                  "three guests on one disk, mClock with the tree's weights made flat (50, 50, 300); and a token bucket "
                  "alone that closes for 100 ms when it is empty. It fills while it is closed, so both limits come "
                  "out at the upper end of what the document says.", ("Q01.1a", "Q02.1a"), rows)
