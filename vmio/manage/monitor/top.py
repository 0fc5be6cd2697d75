"""The table of `vmio top`: a line for each guest, with what it did in the last window."""

from typing import Any

from vmio.manage.monitor.metrics import SECONDS, Sample
from vmio.table import table

COLUMNS = ("guest", "exits/s", "port I/O/s", "signals/s", "interrupts/s", "ring full/s", "requests/s", "mean us", "in guest %", "in hypervisor %")


def rows(window: Sample) -> list[tuple[Any, ...]]:
    """Return the lines as tuples of numbers, by `COLUMNS`; "" where there was no request."""
    found = []
    seconds = window.ns / SECONDS or 1.0
    for guest in window.labels("vmio_vcpu_interrupts_total", "guest"):
        def per_second(name: str, guest: str = guest, **labels: str) -> int:
            return round(window.get(name, guest=guest, **labels) / seconds)
        vcpus = sum(name == "vmio_vcpu_interrupts_total" and labels[0] == guest for name, labels in window.values)
        parts = [100 * window.get("vmio_vcpu_seconds_total", guest=guest, mode=mode) / (window.ns * vcpus or 1)
                 for mode in ("guest", "hypervisor")]
        user = window.histograms.get(("vmio_user_request_seconds", (guest,)))
        count = user.count if user is not None else 0
        found.append((guest, per_second("vmio_exits_total"), per_second("vmio_exits_total", reason="IO_INSTRUCTION"), per_second("vmio_channel_events_total"),
                      per_second("vmio_vcpu_interrupts_total"), per_second("vmio_channel_out_full_total"), round(count / seconds),
                      user.total_ns / count / 1000 if user is not None and count else "", *(f"{part:.1f}" for part in parts)))
    return found


def text(window: Sample) -> str:
    """Return the table as text."""
    return table(rows(window), COLUMNS)


def to_dict(window: Sample) -> list[dict[str, Any]]:
    """Return the lines as plain data for JSON: numbers, None where there is none."""
    return [{name: None if value == "" else float(value) if name.endswith("%") else value for name, value in zip(COLUMNS, row)} for row in rows(window)]
