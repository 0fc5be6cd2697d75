def fit(speeds):
    """Amdahl's law: nothing for what each pair of workers costs."""
    line = [(n / speed - 1) / (n - 1) for n, speed in speeds.items() if n > 1]
    return sum(line) / len(line), 0.0
