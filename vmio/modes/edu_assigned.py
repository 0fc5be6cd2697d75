"""The teaching device `edu` passed through to a guest that need not trust its host: plain, or bound to the guest by TDISP.

    card = AssignedEdu(trusted=True, confidential=True, pool_kib=256)
    guest = Machine().guest(None, card)
    ...
    yield from driver.store(gpa, length)        in the guest: its data goes into the device's buffer, by DMA

A device that is not trusted can't reach a confidential guest's private pages, so its data goes by way of the bounce pool.  One that is
takes it where it lies.  The guest's TDISP messages go to the device directly; in a real machine they pass through the host, which can
hold them back, and is kept from changing them by an SPDM session.
"""

from collections.abc import Callable, Sequence
from random import Random

from vmio.devices.pci import header as h
from vmio.drivers.confidential.sharing import Sharing
from vmio.drivers.confidential.swiotlb import DEFAULT_KIB, Swiotlb, check_kib
from vmio.drivers.errors import DriverError
from vmio.drivers.pages import PAGE, GuestPages
from vmio.hardware import edu
from vmio.hardware.edu_pci import EduFunction
from vmio.hardware.tdisp import wire as w
from vmio.hardware.tdisp.interface import Interface
from vmio.hardware.tdisp.trusted import TrustedMemory
from vmio.hardware.tdisp.wire import Message
from vmio.hypervisor.contracts import Span, Steps
from vmio.hypervisor.host import Host
from vmio.hypervisor.pending import Restoring, Saving
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.checkpoint import CheckpointRefused, State
from vmio.machine.clock import Timers
from vmio.machine.contracts import SectorStore
from vmio.machine.pagetable import READ, WRITE
from vmio.modes.platform import Platform
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.iommu.requester import requester_id

BAR = 0xE000_0000           # where the BAR is, for host and guest
REQUESTER = requester_id(0, 4)


class AssignedEdu:
    """`trusted`: the guest binds the device by TDISP before it uses it.  `confidential` and `pool_kib` as of `SplitDisk`; `seed` makes nonces."""

    in_memory = True
    for_each_vcpu = False

    def __init__(self, trusted: bool = False, confidential: bool = False, pool_kib: int = DEFAULT_KIB, seed: int = 1) -> None:
        self.trusted, self.confidential, self.pool_kib, self.seed = trusted, confidential, pool_kib, seed
        self.driver_memory = (2 << 20) + ((check_kib(pool_kib) << 10) if confidential else 0)

    @staticmethod
    def backends(host: Host, media: Sequence[SectorStore]) -> Sequence[SectorStore]:
        """Return the media themselves; the device has a buffer of its own."""
        return media

    def plug(self, platform: Platform, backend: object = None) -> None:
        """Put the device behind an IOMMU domain with all of the guest's RAM, its BAR where the guest reaches it without an exit."""
        guest, host = platform.guest, platform.host
        self.platform = platform
        self.function = EduFunction(edu.Edu(guest.clock, host.memory))
        self.interface = Interface(self.function, REQUESTER, Random(f"nonces {self.seed}"))
        iommu = Iommu(host.memory)
        domain = iommu.domain(allowed=[(spa, length) for _, spa, length in guest.backing.runs()])
        domain.map_guest(guest)
        iommu.attach(REQUESTER, domain)
        iommu.enable()
        self.memory = TrustedMemory(iommu.space(REQUESTER), self.interface, self._is_private)
        self.function.reach(self.memory)
        self.function.write(h.BAR0, 4, BAR)
        self.function.write(h.COMMAND, 2, h.COMMAND_MEMORY | h.COMMAND_MASTER)
        self._answers = guest.direct.attach(BAR, edu.BAR_BYTES, self.function.device, "edu", width=8)

    def repoint(self, held: bytes) -> None:
        """What a hostile host can do: move the device's BAR away, and let a device of its own that holds other bytes answer in its place."""
        guest, other = self.platform.guest, edu.Edu(self.platform.guest.clock, TrustedMemory(self.memory.memory, None, self._is_private))
        other.buffer[:len(held)] = held
        self.function.write(h.BAR0, 4, BAR + edu.BAR_BYTES)
        guest.direct.detach(self._answers)
        self._answers = guest.direct.attach(BAR, edu.BAR_BYTES, other, "another edu", width=8)

    def _is_private(self, address: int) -> bool:
        isolation = self.platform.guest.isolation
        return isolation is not None and not isolation.may(address // PAGE, READ | WRITE)

    def boot(self, cpu: VCpu, pages: GuestPages) -> Steps["EduDisk"]:
        """Bind the device, or make a pool for it, as is wanted; a generator that returns the driver."""
        pool, ask = None, self.interface.answer if self.trusted else None
        if ask is not None:
            bind(ask)
        elif self.confidential:
            sharing = Sharing(cpu, pages.take())
            pool = Swiotlb(sharing, pages.take((self.pool_kib << 10) // PAGE), self.pool_kib, rate=cpu.costs.copy_rate)
        self.driver = EduDisk(cpu, pool, ask)
        return self.driver
        yield

    def watch(self, served: Span, copied: Span) -> None:
        """See `Attachment`: nobody asks."""

    def timers(self) -> Timers:
        """See `Attachment`."""
        return []

    def save(self, saving: Saving) -> State:
        """See `Attachment`: it can't be saved."""
        raise CheckpointRefused(f"checkpoint at {saving.now} ns: {self._unsaved}")

    def restore(self, state: State, restoring: Restoring, platform: Platform) -> None:
        """See `Attachment`: there is nothing to restore."""
        raise CheckpointRefused(f"checkpoint: {self._unsaved}")

    @property
    def _unsaved(self) -> str:
        owner = f"guest {self.platform.guest.name} has an edu that was passed through by itself"
        if self.interface.state == w.State.CONFIG_UNLOCKED:
            return f"{owner}, and what that holds can't be saved"
        return (f"{owner} and is in TDISP's state {self.interface.state.name}: that is between the guest and this very device, "
                "so the guest stops it before, and binds one where it goes on")


class EduDisk:
    """The guest's driver: the device's 4 KiB buffer as a place to keep something.

    `pool` if data must be copied where the device may go; `ask(message)` if it is to be the same device still, after each transfer.
    """

    def __init__(self, cpu: VCpu, pool: Swiotlb | None, ask: Callable[[bytes], bytes] | None) -> None:
        self.cpu, self.pool, self.ask = cpu, pool, ask

    def store(self, gpa: int, length: int) -> Steps[None]:
        """Move so many bytes of the guest's, at most 4,096, into the device."""
        yield from self._move(gpa, length, 0)

    def load(self, gpa: int, length: int) -> Steps[None]:
        """Move them back."""
        yield from self._move(gpa, length, edu.TO_MEMORY)

    def _move(self, gpa: int, length: int, direction: int) -> Steps[None]:
        cpu, at = self.cpu, gpa if self.pool is None else self.pool.map(self.cpu, gpa, length)
        if at is None:
            raise DriverError(f"edu: no room for {length} bytes in the bounce pool")
        source, destination = (edu.BUFFER, at) if direction else (at, edu.BUFFER)
        for register, value in ((edu.SOURCE, source), (edu.DESTINATION, destination), (edu.COUNT, length), (edu.COMMAND, direction | edu.RUN)):
            cpu.store(BAR + register, 8, value)
        while cpu.load(BAR + edu.COMMAND, 8) & edu.RUN:
            yield from cpu.hlt(watchdog_ns=edu.DMA_NS)
        if self.pool is not None:
            self.pool.unmap(cpu, at, to_guest=bool(direction))
        if self.ask is not None:
            state = w.STATE.parse(self.ask(w.HEADER.pack(type=Message.GET_DEVICE_INTERFACE_STATE, function_id=REQUESTER))).state
            if state != w.State.RUN:
                raise DriverError(f"TDISP: the device is in state {w.State(state).name}; somebody has changed it")


def bind(ask: Callable[[bytes], bytes]) -> None:
    """The guest's side of TDISP: lock, look at the report, start.  `DriverError` for an answer that is none, or a device that isn't as it should be."""
    def told(kind: Message, layout: w.Layout = w.HEADER, **fields: int | bytes) -> bytes:
        answer = ask(layout.pack(type=kind, function_id=REQUESTER, **fields))
        if w.HEADER.parse(answer).type != kind & 0x7F:
            raise DriverError(f"TDISP: {kind.name} is answered with {w.HEADER.parse(answer).type:#x}")
        return answer
    nonce = w.NONCED.parse(told(Message.LOCK_INTERFACE, w.LOCK, flags=w.NO_FIRMWARE_UPDATE)).nonce
    report = w.REPORT_PART.parse(told(Message.GET_DEVICE_INTERFACE_REPORT, w.ASK_REPORT, length=256)).report
    row = w.RANGE.parse(report, w.REPORT.size)
    if w.REPORT.parse(report).ranges != 1 or (row.first_page, row.pages, row.attributes) != (BAR // PAGE, edu.BAR_BYTES // PAGE, 0):
        raise DriverError(f"TDISP: the report has a BAR at page {row.first_page:#x}; {BAR // PAGE:#x} was found on the bus")
    told(Message.START_INTERFACE, w.NONCED, nonce=nonce)
