"""What the panel of *Isolate containers* must show: frames and requests from the recorded start, read by hand; the rest grows by the container."""

from functools import cache

from vmio import data
from vmio.experiments.containers.density import Fleet
from vmio.experiments.containers.density_result import DensityParams

from tests.panel_rig import Truth

DOUBLED = 1, 2, 4, 8, 16


@cache
def of_the_start():
    """(pages of the layer that a start reads, its reads that find something missing, its writes and flushes)"""
    known, reads, others = set(), 0, 0
    for line in data.path("traces/read_all_files.csv").read_text(encoding="utf-8").splitlines()[1:]:
        _, op, lba, sectors = line.split(",")
        pages = range(int(lba) // 8, (int(lba) + int(sectors) - 1) // 8 + 1)
        if op == "R":
            reads += not known.issuperset(pages)
            known.update(pages)
        else:
            others += 1
    return len(known), reads, others


@cache
def kernel(isolation, layer):
    """(pages of a kernel's drivers, of its tables, its exits without first touches and requests, hypercalls of its boot): another start's."""
    fleet = Fleet(DensityParams(1, isolation, layer, private_kib=20))
    fleet.begin().to_the_end()
    guest, result = fleet.kernels[0].machine.guest, fleet.result()
    drivers = sum(page < 512 for page in guest.backing.touched)
    reasons = guest.cpu.exits.by_reason()
    return drivers, len(guest.slat._tables), sum(reasons.values()) - reasons["EPT_VIOLATION"] - 2 * result.requests, reasons["VMCALL"] - result.requests


@cache
def ends(count, isolation, layer, private_kib):
    """When the last container has started, in ms, in a run that nobody looks at meanwhile."""
    fleet = Fleet(DensityParams(count, isolation, layer, private_kib=private_kib))
    fleet.begin().to_the_end()
    return max(one.ended for one in fleet.containers) / 1e6


def pages_of(count, isolation, layer, private_kib):
    """Pages of the host: drivers, tables, layer, containers' own."""
    kernels = count if isolation == "hyperv" else 1
    drivers, tables, *_ = kernel(isolation, layer)
    ram = 3 - (-(count if isolation == "process" else 1) * private_kib // 1024)
    tables += ram % 2           # MiB: what is left beside large pages of 2 has a table of its own
    return [kernels * drivers, kernels * tables, of_the_start()[0] * (count if layer == "scsi" and isolation == "hyperv" else 1), count * private_kib // 4]


def panel(containers, isolation, layer, private_kib):
    shared, mapped = isolation == "process", isolation == "hyperv" and layer == "vpmem"
    layer = "scsi" if shared else layer
    of_layer, reads, others = of_the_start()
    kernels, pages = 1 if shared else containers, pages_of(containers, isolation, layer, private_kib)
    read_by = 0 if mapped else kernels
    requests = others * containers + reads * read_by
    *_, rest, calls = kernel(isolation, layer)
    of_ram, of_it = pages[0] + pages[3] + of_layer * read_by, of_layer * containers * mapped
    words = [containers, containers, kernels, sum(pages), *pages, kernels * rest + 2 * requests + of_ram + of_it, of_ram, of_it,
             kernels * calls + requests, kernels * calls + requests, requests, of_layer * 4 * (1 if mapped else kernels),
             ends(containers, isolation, layer, private_kib)]
    counts = sorted({containers, *DOUBLED})
    every = {count: pages_of(count, isolation, layer, private_kib) for count in counts}
    return Truth(words, charts=[dict(zip(("drivers", "tables", "base layer", "containers' own"), pages)),
                                {"all pages": [(count, sum(every[count])) for count in counts], "base layer": [(count, every[count][2]) for count in counts]}])
