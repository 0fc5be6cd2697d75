"""How many signals a ring needs: by the producer's pace, and by the rule."""

from typing import Any

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.disk_result import DiskResult
from vmio.experiments.papers.result import Result, Row, figure
from vmio.hypervisor.apic import EMULATED
from vmio.hypervisor.costs import CostModel

BUFFERS = 1 << 20            # that virtio_test sends (tools/virtio/virtio_test.c)
SERVICE_NS, WAKE_NS = 2000, 8000
REQUESTS = 100


def signals(gap_ns: int, how: str = "each") -> float:
    """Signals a request to the host: StorVSC submits one each `gap_ns`; the worker needs 2 us for it, and 8 to wake up."""
    return _run(how, guest_request_ns=gap_ns, host_request_ns=SERVICE_NS, worker_wakeup_ns=WAKE_NS).signals / REQUESTS


def ns_per_buffer(how: str, **prices: Any) -> float:
    """ns of virtual time per request, if all that costs anything is in `prices`."""
    return _run(how, **prices).virtual_ns / REQUESTS


def _run(how: str, **prices: Any) -> DiskResult:
    free = {name: 0 for name in ("hypercall_ns", "lookup_ns", "emulate_ns", "user_space_ns", "wakeup_ns",
                                 "worker_wakeup_ns", "guest_request_ns", "host_request_ns", "disk_read_ns")}
    costs = CostModel.preset().with_(**free | {"disk_read_rate": 1 << 50} | prices)
    return disk.run(DiskParams(mode="split", bytes=512 * REQUESTS, block=512, queue_depth=REQUESTS, signals=how,
                               batch=REQUESTS, host_cores=4, costs=costs, apic=EMULATED))   # as in 2011


def run() -> Result:
    """Three paces by the rule; then virtio_test, whose kick is a system call."""
    with_idx, without = (figure(row_id) * 1e9 / BUFFERS for row_id in ("N02b", "N02a"))
    call = round(figure("D02.4"))
    work = round(with_idx)
    quiet, loud = (ns_per_buffer(how, guest_request_ns=work, hypercall_ns=call, host_request_ns=work)
                   for how in ("each", "always"))
    rows = (
        Row("signals a buffer, gap 12 us", 1.0, signals(12_000), "rule", 0.01),
        Row("signals a buffer, gap 4 us", 1 / (1 + WAKE_NS / (4000 - SERVICE_NS)), signals(4000), "rule", 0.01),
        Row("signals a buffer, gap 1 us", 1 / REQUESTS, signals(1000), "rule", 0.01),
        Row("the same, signals always", 1.0, signals(1000, "always"), "rule", 0.01),
        Row("virtio_test with EVENT_IDX, ns a buffer", with_idx, quiet, "fit"),
        Row("virtio_test, without / with EVENT_IDX", without / with_idx, loud / quiet, within=0.30),
    )
    return Result("Signals that need not be sent",
                  "StorVSC on its ring, a request each `gap`; the host's worker takes 2 us for one and 8 us to wake "
                  "up. So it always sleeps beyond 10 us, never below 2, and between wakes for 1 + 8 / (gap - 2) at a "
                  "time. Then nothing costs anything but a buffer (fitted) and a kick: one system call, 300 ns. "
                  "Tolerance 30%: the machine of 2011 is not named, and half of our buffers also bring an interrupt "
                  "(the host emulates the APIC, as all did then), where virtio_test polls.",
                  ("N02a", "D02.4"), rows)
