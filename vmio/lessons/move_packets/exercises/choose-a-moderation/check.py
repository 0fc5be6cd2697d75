from functools import cache

from vmio import data, net, pcap
from vmio.lab import Wrong, attempted, described, varied

FRAMES, TIMES = (0, 2, 3, 4, 6), (80, 160, 240)


@cache
def download():
    """The captured frames, of which no more than the machine needs to be busy with."""
    return pcap.load(data.path("http.pcap"))[:120]


@cache
def measured(frames, us):
    """(interrupts, us that 99 of 100 frames wait at most) of the download with this setting."""
    one = net.run(net.NetParams(chip="21143", hold_frames=frames, hold_us=us), download())
    return one.interrupts, one.latency_p99_ns / 1000


MEASURED = {(frames, us): measured(frames, us) for frames in FRAMES for us in TIMES}        # before an answer runs: it may ask often


def trial(frames, us):
    """What a setting does; ValueError for one that was not measured."""
    if (frames, us) not in MEASURED:
        raise ValueError(f"frames {frames!r}, us {us!r}: frames are one of {FRAMES}, us one of {TIMES}")
    return MEASURED[frames, us]


def check(choose):
    least = min(wait for _, wait in MEASURED.values())
    for limit in varied("choose-a-moderation", (200, 350, 500, 3000), range(int(least) + 1, 3000)):
        given = f"a limit of {limit:,} us"
        fewest = min(interrupts for interrupts, wait in MEASURED.values() if wait <= limit)
        answer = attempted(choose(trial, limit), given, tuple, "a pair (frames, us)")
        if all(answer != one for one in MEASURED):
            raise Wrong(given, f"frames out of {FRAMES} and us out of {TIMES}", described(answer))
        interrupts, wait = MEASURED[answer]
        if wait > limit:
            raise Wrong(given, f"a wait of at most {limit:,} us", f"{wait:,.0f} us with {answer[0]} frames and {answer[1]} us")
        if interrupts > fewest:
            raise Wrong(given, f"{fewest} interrupts", f"{interrupts} with {answer[0]} frames and {answer[1]} us", "The limit is kept, but there is a better setting.")
    return "Each limit is kept, and no interrupt is too many."
