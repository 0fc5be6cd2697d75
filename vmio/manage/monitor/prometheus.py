"""A sample as Prometheus reads it: the text format 0.0.4.

    # HELP vmio_host_cores Cores of the host.
    # TYPE vmio_host_cores gauge
    vmio_host_cores 4

Source: prometheus.io, "Exposition formats": lines end in LF, the last one too; a backslash and a line end are escaped in help, in
a label's value also a quotation mark; a histogram's buckets are sums, up to le="+Inf".
"""

from collections.abc import Sequence

from vmio.manage.monitor.metrics import DECLARED, EDGES, HISTOGRAM, SECONDS, Histogram, Metric, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(sample: Sample) -> str:
    """Return the whole sample; a metric that nobody has is left out."""
    lines: list[str] = []
    for metric in DECLARED:
        rows: list[str] = []
        if metric.kind == HISTOGRAM:
            for (name, labels), histogram in sorted(sample.histograms.items()):
                if name == metric.name:
                    rows += _histogram(metric, labels, histogram)
        else:
            rows += [f"{name}{_labels(metric.labels, labels)} {number(value, metric.scale)}"
                     for (name, labels), value in sorted(sample.values.items()) if name == metric.name]
        if rows:
            lines += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} {metric.kind}", *rows]
    return "\n".join(lines) + "\n"


def number(value: int, scale: int = 1) -> str:
    """Return value / scale without rounding: ns as seconds keep all their digits."""
    if scale == 1:
        return str(value)
    whole, part = divmod(abs(value), scale)
    digits = f"{part:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def _histogram(metric: Metric, labels: Sequence[str], histogram: Histogram) -> list[str]:
    edges = [*(number(edge, SECONDS) for edge in EDGES), "+Inf"]
    rows = [f"{metric.name}_bucket{_labels((*metric.labels, 'le'), (*labels, edge))} {count}" for edge, count in zip(edges, histogram.buckets)]
    which = _labels(metric.labels, labels)
    return [*rows, f"{metric.name}_sum{which} {number(histogram.total_ns, metric.scale)}", f"{metric.name}_count{which} {histogram.count}"]


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    inside = ",".join(f'{name}="{_quoted(value)}"' for name, value in zip(names, values))
    return f"{{{inside}}}" if inside else ""


def _quoted(value: str) -> str:
    return _escaped(value).replace('"', '\\"')


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")
