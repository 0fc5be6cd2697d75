"""The predictions of *Fill a ring* with numbers of a student's own."""

from vmio.experiments import disk
from vmio.experiments.disk import DiskParams
from vmio.experiments.ringsteps import SCRIPTS, hangs
from vmio.lab.asked import Own
from vmio.lessons.fill_a_ring import panel
from vmio.vmbus.bus.packets import INBAND


def _record_bytes(length: int) -> int:
    _, writer, _ = panel.small_ring()
    writer.send(INBAND, bytes(length))
    return writer.state()["used"]


def _hangs(orders: int) -> int:
    return hangs(SCRIPTS["no second look"], orders)


def _monitored_us(depth: int) -> float:
    return panel.real_disk(queue_depth=depth, doorbell="monitor").virtual_ns / 1000 / panel.READS


def _exits_of_the_first(vcpus: int, reads: int) -> int:
    result = disk.run(DiskParams(mode="split", bytes=panel.BLOCK * reads * vcpus, vcpus=vcpus, channels=1, host_cores=2 * vcpus))
    return result.exits_by_vcpu["vCPU 0"]


OWN = {
    "record-bytes": Own("A payload of {length} bytes: how many bytes of the ring does its record take?", {"length": range(13, 400)},
                        _record_bytes),
    "lost-wakeups": Own("In how many of {orders:,} orders does it hang?",
                        {"orders": [orders for orders in range(400, 2000) if orders != 1000]}, _hangs),
    "monitor-depth-1": Own("The host looks at the monitor page every 100 us. With {depth} reads of 4 KiB in flight, how many us does "
                           "one take, on average over 64?", {"depth": range(2, 33)}, _monitored_us),
    "one-channel-four-vcpus": Own("{vcpus} vCPUs make {reads} reads each, through the one channel of vCPU 0. How many exits has vCPU 0?",
                                  {"vcpus": range(2, 9), "reads": [reads for reads in range(5, 33) if reads != 16]}, _exits_of_the_first),
}
