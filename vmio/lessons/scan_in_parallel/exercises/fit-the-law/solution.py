def fit(speeds):
    """The pair (a, b) of the law through `speeds` {number of workers: times as fast as one}."""
    line = [(n, (n / speed - 1) / (n - 1)) for n, speed in speeds.items() if n > 1]
    middle, height = sum(n for n, _ in line) / len(line), sum(y for _, y in line) / len(line)
    b = sum((n - middle) * (y - height) for n, y in line) / sum((n - middle) ** 2 for n, _ in line)
    return height - b * middle, b
