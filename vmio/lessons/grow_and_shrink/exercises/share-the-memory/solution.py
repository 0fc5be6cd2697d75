def share(total, guests):
    """{name: pieces that it gets}; `guests` is {name: (minimum, target, weight)}."""
    got = {name: minimum for name, (minimum, _, _) in guests.items()}
    left, hungry = total - sum(got.values()), dict(guests)
    while hungry:
        weights = sum(weight for _, _, weight in hungry.values())
        full = [name for name, (minimum, target, weight) in hungry.items() if target - minimum <= left * weight / weights]
        for name in full or hungry:
            minimum, target, weight = guests[name]
            got[name] = target if full else minimum + left * weight / weights
        left -= sum(guests[name][1] - guests[name][0] for name in full)
        hungry = {name: guest for name, guest in hungry.items() if full and name not in full}
    return got
