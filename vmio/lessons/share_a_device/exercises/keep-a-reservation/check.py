from vmio.lab import Wrong, one_of, seeded

RATE = 10**9                    # bytes/s that the disk gives
MB = 10**6
SIZES = (4096, 16_384, 65_536)  # bytes of a request
SECONDS = 0.02
ALWAYS = ((0, None),)           # from 0 s on as much as it can get

# What it is, {guest: (weight, reservation, [(since when, what it asks for)], what it is to get)}, all in MB/s; measured since when
CASES = (
    ("weights alone", {"a": (100, 0, ALWAYS, 250), "b": (300, 0, ALWAYS, 750)}, 0),
    ("a light guest with a reservation", {
        "a": (10, 400, ALWAYS, 400), "b": (100, 0, ALWAYS, 150), "c": (300, 0, ALWAYS, 450)}, 0),
    ("reservations below what the weights give", {
        "a": (100, 100, ALWAYS, 500), "b": (100, 0, ALWAYS, 500)}, 0),
    ("reservations that add up to all there is", {
        "a": (900, 200, ALWAYS, 200), "b": (100, 300, ALWAYS, 300), "c": (50, 500, ALWAYS, 500)}, 0),
    ("a asks for less than its reservation", {
        "a": (10, 500, ((0, 100),), 100), "b": (100, 0, ALWAYS, 300), "c": (200, 0, ALWAYS, 600)}, 0),
    ("a was away until 10 ms", {
        "a": (100, 300, ((0.01, None),), 400), "b": (50, 400, ALWAYS, 400), "c": (50, 0, ALWAYS, 200)}, 0.01),
)


def check(Scheduler):
    worst = 0.0
    for number, (name, guests, since) in enumerate(CASES):
        got, longest = _run(Scheduler, guests, since, seeded(number))
        settings = ", ".join(f"{guest} weighs {weight} and reserves {reservation}"
                             for guest, (weight, reservation, _, _) in guests.items())
        for guest, (_, _, _, wanted) in guests.items():
            if abs(got[guest] - wanted) > 0.03 * wanted + 8:
                raise Wrong(f"{name} ({settings})", f"{guest} gets {wanted} MB/s", f"{got[guest]:.0f} MB/s")
            worst = max(worst, abs(got[guest] / wanted - 1))
        if "less" in name and longest["a"] > 4 * SIZES[-1] / RATE:
            raise Wrong(f"{name} ({settings})", "a is served at once", f"a waits {longest['a'] * 1e6:.0f} us")
    return f"{len(CASES)} sets of reservations kept, every share within {100 * worst:.1f} %."


def _run(Scheduler, guests, since, random):
    """({guest: MB/s from `since` on}, {guest: longest wait in s}) of one run."""
    scheduler = Scheduler({guest: one[0] for guest, one in guests.items()},
                          {guest: one[1] * MB for guest, one in guests.items()})
    arrives = {guest: one[2][0][0] for guest, one in guests.items()}    # when its first request comes
    asked = {guest: one[2][0][1] for guest, one in guests.items()}
    sizes = {guest: random.choice(SIZES) for guest in guests}
    served, longest, now = dict.fromkeys(guests, 0), dict.fromkeys(guests, 0.0), 0.0
    while now < SECONDS:
        waiting = {guest: sizes[guest] for guest in guests if arrives[guest] <= now}
        guest = one_of(scheduler.pick(dict(waiting), now), sorted(waiting), given="these guests wait")
        longest[guest] = max(longest[guest], now - arrives[guest])
        size = sizes[guest]
        now += size / RATE
        served[guest] += size * (now > since)
        arrives[guest] = now if asked[guest] is None else max(now, arrives[guest] + size / (asked[guest] * MB))
        sizes[guest] = random.choice(SIZES)
    return {guest: amount / MB / (now - since) for guest, amount in served.items()}, longest
