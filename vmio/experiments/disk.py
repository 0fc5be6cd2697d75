"""Run block requests against a guest's disk, in one of the course's modes, and count."""

from vmio.experiments import trace
from vmio.experiments.disk_params import DELIVERY, IOMMU, MODES, SIGNALS, DiskParams
from vmio.experiments.disk_result import DiskResult, result
from vmio.experiments.disk_run import DiskRun, needed
from vmio.experiments.pattern import pattern
from vmio.experiments.ring_log import RingLog
from vmio.hypervisor.costs import CostModel
from vmio.hypervisor.host import Host
from vmio.machine.overlay import Overlay
from vmio.modes.attachments import attachment

__all__ = ["DELIVERY", "IOMMU", "MODES", "SIGNALS", "DiskParams", "DiskResult", "pattern", "run"]


def run(params, requests=None, image=None, name="trace", meanwhile=None):
    """Run `requests` (or sequential reads by `params`) in each guest, on its own difference disk over `image`.

    Without an image the disk is a `pattern` as large as the requests need.
    `meanwhile(host, runs)` is what the host's administrator does at the same time: a
    process of the simulation.  Returns a `DiskResult`.  ValueError for parameters or
    requests that cannot be.
    """
    params, requests, host, runs = machine(params, requests, image, name)
    if meanwhile is not None:
        host.env.process(meanwhile(host, runs))
    host.run(*[(run.cpu, run.program) for run in runs])
    return result(params, requests, runs)


def machine(params, requests=None, image=None, name="trace"):
    """Return (params, requests, host, [a `DiskRun` for each guest]) of `run`, switched off."""
    params.check()
    if requests is None:
        requests = trace.sequential(params.bytes, params.block)
    if image is None:
        image = pattern((max((r.lba + r.sectors for r in requests), default=0) - 1 >> 11) + 1 or 1)
    trace.check_fits(requests, image.sectors, name)
    if params.timed:
        trace.check_times(requests, name)
    attachments = [_attachment(params) for _ in range(params.guests)]
    room = needed(attachments[0], requests, 1 if params.mode == "emulated" else params.queue_depth)
    host = Host(memory_mib=params.guests * (room[2] + 4) + 32, costs=CostModel.preset(params.costs),
                cores=params.host_cores, apic=params.apic)
    media = [Overlay(image) for _ in attachments]
    runs = [_Run(host, each, backend, medium, requests, room, params.signals != "batch")
            for each, backend, medium in zip(attachments, attachments[0].backends(host, media), media)]
    runs[0].logged = True      # a result has the rings of the first guest
    for one in runs:
        one.times_ns = requests.times_ns if params.timed else None
    return params, requests, host, runs


def _attachment(params):
    """Return the guest's disk, as `params` describes it."""
    options = {
        "emulated": lambda: {"transfer": params.transfer, "string": params.string, "width": params.width,
                             "polled": params.polled},
        "split": lambda: {"ring_kib": params.ring_kib, "signals": params.signals, "batch": params.batch,
                          "polled": params.polled},
        "passthrough": lambda: {"iommu": params.iommu, "delivery": params.delivery, "polled": params.polled},
    }
    return attachment("disk", params.mode, **options[params.mode]())


class _Run(DiskRun):
    """A guest whose signals are counted and, if it is `logged`, whose rings are, too, if its disk has any."""

    rings, signals, logged = {}, 0, False

    def serve(self, cpu):
        """All requests."""
        if not hasattr(self.attachment, "vsp"):
            yield from super().serve(cpu)
            return
        channel = self.attachment.vsp.channel
        log, before = RingLog(self.attachment, self.disk, cpu) if self.logged else None, channel.signals
        yield from super().serve(cpu)
        self.signals = channel.signals - before
        if log is not None:
            self.rings = log.occupancy()
