"""Charts with one line for each mode: latencies, break-even."""

from collections.abc import Mapping, Sequence

from vmio.lab import axes, charts


def done(title: str, latencies: Mapping[str, Sequence[float]]) -> charts.Chart:
    """How many % of the requests took how long at most; `latencies` {mode: us of each}."""
    x = axes.log("us at most", [us for values in latencies.values() for us in values])
    series: dict[str, charts.Points] = {}
    for mode, values in latencies.items():
        ordered = sorted(values)
        percents = [100 * n / len(ordered) for n in range(1, len(ordered) + 1)]
        series[mode] = [x["low"], *ordered, x["high"]], [0, *percents, 100]
    return charts.lines(title, series, x, axes.linear("% of all", (), top=100), step=True)


def swept(title: str, series: Mapping[str, charts.Points], against: str, unit: str, steps: Sequence[float],
          limit: float | None = None) -> charts.Chart:
    """Lines against `steps` that double, as `against` names them; with a `limit` y is linear and the limit a line across."""
    values = [y for _, ys in series.values() for y in ys]
    if limit is None:
        return charts.lines(title, series, axes.log(against, (), steps), axes.log(unit, values))
    y = axes.linear(unit, [*values, 2 * limit])
    return charts.lines(title, series, axes.log(against, (), steps), y, limits={f"{limit} %": limit})
