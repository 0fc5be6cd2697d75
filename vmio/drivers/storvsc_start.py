"""How StorVSC starts: it agrees with the host on a protocol, then asks the disk what it is, one question at a time.

The order is Linux's: drivers/scsi/storvsc_drv.c, storvsc_channel_init().
"""

from collections.abc import Callable, Sequence

from vmio.drivers.confidential.swiotlb import MOST
from vmio.drivers.contracts import Reaped
from vmio.drivers.errors import DriverError
from vmio.drivers.storvsc_queue import StorQueue
from vmio.hypervisor.contracts import Steps
from vmio.vmbus.bus.packets import RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.storage import vstor as v

PAGE = 4096
RECORD = 112                   # bytes of a request in the ring beside its page numbers


def negotiate(disk: StorQueue, versions: Sequence[int], tried: dict[int, bool]) -> Steps[int]:
    """Run the start-up protocol on an open channel, the `versions` in their order; returns how many sub-channels the host allows.

    `tried` is told whether the host agrees to each.  `DriverError` if they have none in common, and for a host that answers with
    another version than it was asked for (Linux looks at the status alone).
    """
    yield from ask(disk, v.PACKET.pack(operation=v.BEGIN_INITIALIZATION, flags=v.REQUEST_COMPLETION), "begin")
    for version in versions:
        packet = v.VERSION.pack(operation=v.QUERY_PROTOCOL_VERSION, flags=v.REQUEST_COMPLETION, version=version)
        answer = yield from ask(disk, packet, "version", refusals=(v.REVISION_MISMATCH,))
        tried[version] = answer is not None
        if answer is not None:
            said = v.VERSION.parse(answer).version
            if said != version:
                raise DriverError(f"StorVSC: asked for version {v.version_text(version)}, the host says {v.version_text(said)}")
            disk.version = version
            break
    else:
        raise DriverError(f"StorVSC: no protocol version in common with the host; asked for {', '.join(map(v.version_text, versions))}")
    packet = v.PACKET.pack(operation=v.QUERY_PROPERTIES, flags=v.REQUEST_COMPLETION)
    properties = v.PROPERTIES.parse((yield from ask(disk, packet, "properties")) or b"")
    fits = ((disk.ring_kib << 10) - PAGE - RECORD - 16) // 8 * PAGE - PAGE
    if disk.client.pool is not None:
        fits = min(fits, MOST)
    disk.max_bytes = min(properties.max_transfer, fits) & -PAGE
    if not disk.max_bytes:
        raise DriverError(f"StorVSC: the host moves {properties.max_transfer} bytes at most, a page is needed")
    yield from ask(disk, v.PACKET.pack(operation=v.END_INITIALIZATION, flags=v.REQUEST_COMPLETION), "end")
    return properties.max_subchannels if properties.properties & v.MULTI_CHANNEL else 0


def ask(disk: StorQueue, packet: bytes, what: str, refusals: Sequence[int] = ()) -> Steps[bytes | None]:
    """Take one step of the start-up protocol: the host's answer, or None if its status is one of `refusals`."""
    disk.answer = None
    yield from disk.cpu.pay()
    try:
        disk.end.send(packet, v.INIT_ID, want_completion=True)
    except (RingCorrupt, RingFull) as error:
        raise disk.corrupt(error) from None
    yield from disk.until(lambda: disk.answer is not None, what)
    status = v.PACKET.parse(disk.answer or b"").status
    if status and status not in refusals:
        raise DriverError(f"StorVSC {what}: status {status:#x}")
    return disk.answer if status == 0 else None


def commands(disk: StorQueue, buffer: int, lun: int | None = None) -> Callable[[str, bytes, int], Steps[bytes]]:
    """Return what asks the disk (or the unit at `lun`) a command: `length` bytes by way of the page `buffer`, what did not come as zeros."""
    def command(name: str, cdb: bytes, length: int) -> Steps[bytes]:
        over: list[Reaped] = []
        disk.cpu.write(buffer, bytes(length))
        yield from disk.cpu.pay()
        disk.execute(cdb, v.TO_GUEST if length else v.NO_DATA, length, buffer, name, over.append, lun)
        disk.flush_ring()
        yield from disk.until(lambda: over, name)
        if over[0][1] is not None:
            raise over[0][1]
        return disk.cpu.read(buffer, length)
    return command
