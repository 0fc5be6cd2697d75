"""The guest's half of virtual PCI: finds the functions that were given to it, and gives their drivers what they need.

    bus = VpciBus(client, channel, GuestPages(window_gpa, end))
    yield from bus.init()
    function, = bus.functions
    yield from function.enable()
    bar = function.bar(0)                                   a guest-physical address: the device itself
    yield from function.connect(1, vector, handler)         MSI-X vector 1 calls handler(cpu)

Written after the order in which Linux does things:
drivers/pci/controller/pci-hyperv.c (hv_pci_probe).
"""

from collections.abc import Callable, Sequence

from vmio.devices.pci.header import BAR0, CAPABILITIES, COMMAND, COMMAND_MASTER, COMMAND_MEMORY
from vmio.devices.pci.wire import (
    MASKED,
    MSI_ENABLE,
    MSI_ID,
    MSI_WIDE,
    MSIX,
    MSIX_ENABLE,
    MSIX_ENTRY,
    MSIX_FUNCTION_MASK,
    MSIX_ID,
    MSIX_LAST,
    msi,
)
from vmio.drivers.errors import DriverError, DriverTimeout
from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import GuestChannel, Rescinded, VmBusClient
from vmio.hypervisor.contracts import Cpu, Handler, Steps
from vmio.machine.contracts import Record
from vmio.machine.layout import Layout, ShortMessage
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.packets import COMPLETION, INBAND, Packet, RingCorrupt
from vmio.vmbus.bus.ring import RingFull
from vmio.vmbus.pci import vpci as v

TIMEOUT_NS = 10_000_000_000
MAX_FUNCTIONS = 256
MEMORY_AND_MASTER = COMMAND_MEMORY | COMMAND_MASTER


class VpciBus:
    """One bus: one offered `channel` of `client` (a `VmBusClient`).

    `mmio` (a `GuestPages` of addresses above RAM) gives room for the configuration
    window and the BARs, `low` (below 4 GiB) for BARs of 32 bits.  `on_eject(bus)` runs in the interrupt when the host wants
    the device back; the program then calls `eject()`.
    """

    version: int            # both from `init` on
    end: ChannelEnd

    def __init__(self, client: VmBusClient, channel: GuestChannel, mmio: GuestPages, versions: Sequence[int] = v.LINUX_VERSIONS,
                 low: GuestPages | None = None, on_gone: Callable[[], None] | None = None) -> None:
        self.client, self.channel, self.versions, self.cpu = client, channel, versions, client.cpu
        self.tried: dict[int, bool] = {}       # versions that we asked for -> did the host agree?
        self.mmio, self.low = mmio, low or mmio
        self.window = 0                        # an address, from `init` on
        self.error: DriverError | None = None
        self.on_eject: Callable[..., None] | None = None
        self.on_gone = on_gone          # told in the interrupt when the device has been taken away, unless we had let it go
        self.functions: list[Function] = []
        self.taken: list[tuple[GuestPages, int, int]] = []      # addresses of the functions' BARs: (whose, where, pages)
        self.page: int | None = None    # input of our hypercall
        self.ejecting = False
        self.unknown = 0                # messages that make no sense
        self._relations: list[Record] | None = None     # when it has come
        self._answers: dict[int, bytes | None] = {}   # transaction id -> payload, or None while we wait
        self._next_id = 1

    def init(self) -> Steps:
        """From an offer to functions that may be driven.  `DriverError` if the host refuses or lies."""
        self.channel.on_rescind = self._rescinded
        self.end = yield from self.client.open(self.channel, pages=v.RING_PAGES, on_signal=self._look)
        yield from self._negotiate()
        self.window = self.window or self.mmio.take(v.WINDOW // 4096)
        self._relations = None
        self._put(v.QUERY_BUS_RELATIONS.pack())
        yield from self._until(lambda: self._relations is not None, "bus relations")
        relations: list[Record] = self._relations or []
        self.functions = [Function(self, found) for found in relations]
        for function in self.functions:
            function.probed = (yield from self._ask(v.QUERY_RESOURCE_REQUIREMENTS.pack(slot=function.slot),
                                                    "requirements", v.REQUIREMENTS))[1:]
        yield from self._ask(v.BUS_D0ENTRY.pack(window=self.window), "D0 entry")
        assigned = v.RESOURCES_ASSIGNED if self.version < v.V1_2 else v.RESOURCES_ASSIGNED2
        for function in self.functions:
            yield from self._ask(assigned.pack(slot=function.slot), "resources assigned")
            function.place()

    def _negotiate(self) -> Steps[None]:
        for version in self.versions:
            answer = yield from self._ask(v.QUERY_PROTOCOL_VERSION.pack(version=version), "version",
                                          refusal=v.REVISION_MISMATCH)
            self.tried[version] = answer is not None
            if answer is not None:
                self.version = version
                return
        raise DriverError("vPCI: no protocol version in common with the host")

    def eject(self) -> Steps[None]:
        """The drivers have stopped: give the device back, and leave the bus."""
        slots = [function.slot for function in self.functions]
        yield from self._leave()
        for slot in slots:
            self._put(v.EJECTION_COMPLETE.pack(slot=slot))
        yield from self._until(lambda: self.channel.rescinded, "rescind")
        yield from self.tidy()

    def tidy(self) -> Steps[None]:
        """After a rescind: have the memory and the addresses back, and say that we are done with the channel."""
        self.functions = []
        yield from self.client.release(self.channel)
        if self.window:
            self.taken.append((self.mmio, self.window, v.WINDOW // 4096))
        for pages, at, number in self.taken:
            pages.give_back(at, number)
        self.window, self.taken = 0, []

    def close(self) -> Steps[None]:
        """Leave the bus; the device stays the guest's, and may be opened again."""
        yield from self._leave()
        yield from self.client.close(self.channel)

    def _leave(self) -> Steps[None]:
        for function in reversed(self.functions):
            self._put(v.RESOURCES_RELEASED.pack(slot=function.slot))
        self.functions = []
        yield from self._ask(v.BUS_D0EXIT.pack(), "D0 exit")

    # Configuration space: two exits an access, one if the slot is selected already.

    def read_config(self, slot: int, offset: int, size: int) -> int:
        """`size` bytes of a function's configuration space."""
        self.cpu.store(self.window, 4, slot)
        return self.cpu.load(self.window + v.CONFIG_PAGE + offset, size)

    def write_config(self, slot: int, offset: int, size: int, value: int) -> None:
        """Write there."""
        self.cpu.store(self.window, 4, slot)
        self.cpu.store(self.window + v.CONFIG_PAGE + offset, size, value)

    # The channel.

    def _put(self, payload: bytes, number: int = 0) -> None:
        try:
            self.end.send(payload, number, want_completion=number != 0)
        except (RingFull, RingCorrupt) as error:
            raise DriverError(f"vPCI: {error}") from None

    def _ask(self, payload: bytes, what: str, reply: Layout = v.STATUS, refusal: int | None = None) -> Steps:
        """Send and wait: the answer, a `reply`, or None if its status is `refusal`.  `DriverError` for any other."""
        number, self._next_id = self._next_id, self._next_id + 1
        self._answers[number] = None
        self._put(payload, number)
        yield from self._until(lambda: self._answers[number] is not None, what)
        answer = self._answers.pop(number) or b""
        try:
            status = v.STATUS.parse(answer).status
            if status == refusal:
                return None
            if status & 0x8000_0000:
                raise DriverError(f"vPCI {what}: status {status:#x} {v.STATUSES.get(status, '')}")
            return reply.parse(answer)
        except ShortMessage as error:
            raise DriverError(f"vPCI {what}: {error}") from None

    def _until(self, ready: Callable[[], object], what: str) -> Steps[None]:
        deadline = self.cpu.now + TIMEOUT_NS
        while not ready():
            if self.error is not None:
                raise self.error
            if self.cpu.now >= deadline:
                raise DriverTimeout(f"vPCI {what}: no answer")
            yield from self.cpu.hlt(watchdog_ns=deadline - self.cpu.now)

    def _look(self, cpu: Cpu) -> None:
        """In the interrupt: take all that the host has sent."""
        end = self.channel.end
        if end is None:
            return
        try:
            for packet in end.packets():
                self._take(packet)
        except RingCorrupt as error:
            self.error = DriverError(f"vPCI: {error}")

    def _take(self, packet: Packet) -> None:
        kind = int.from_bytes(packet.payload[:4], "little")
        if packet.kind == COMPLETION and self._answers.get(packet.transaction_id, b"") is None:
            self._answers[packet.transaction_id] = packet.payload
        elif packet.kind == INBAND and kind in (v.Message.BUS_RELATIONS, v.Message.BUS_RELATIONS2):
            try:
                self._relations = v.functions(v.LAYOUTS[kind].parse(packet.payload))[:MAX_FUNCTIONS]
            except ShortMessage:
                self.unknown += 1
        elif packet.kind == INBAND and kind == v.Message.EJECT:
            self.ejecting = True
            if self.on_eject is not None:
                self.on_eject(self)
        else:
            self.unknown += 1

    def _rescinded(self) -> None:
        self.error = Rescinded("vPCI: the host has taken the device away")
        if self.on_gone is not None and self.functions:
            self.on_gone()


class Function:
    """One function on a `VpciBus`: `identity` is what the host said of it, `probed` the six probed BARs."""

    def __init__(self, bus: VpciBus, identity: Record) -> None:
        self.bus, self.cpu, self.identity, self.slot = bus, bus.cpu, identity, identity.slot
        self.probed = (0,) * v.BARS
        self._bars: dict[int, int] = {}   # index -> address

    def read(self, offset: int, size: int) -> int:
        """Configuration bytes."""
        return self.bus.read_config(self.slot, offset, size)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write configuration bytes."""
        self.bus.write_config(self.slot, offset, size, value)

    def bar(self, index: int) -> int:
        """Return the guest-physical address of a BAR; `DriverError` if there is none."""
        if index not in self._bars:
            raise DriverError(f"vPCI slot {self.slot}: no BAR {index}")
        return self._bars[index]

    def place(self) -> None:
        """Give each memory BAR an address, aligned to its size."""
        index = 0
        while index < v.BARS:
            low, wide = self.probed[index], self.probed[index] & 7 == 4
            mask = low & ~0xF | (self.probed[index + 1] << 32 if wide and index + 1 < v.BARS else 0xFFFF_FFFF << 32)
            if low and not low & 1:
                at = self._aligned(index, -mask & (1 << 64) - 1, wide)
                self.write(BAR0 + 4 * index, 4, at & 0xFFFF_FFFF)
                if wide:
                    self.write(BAR0 + 4 * index + 4, 4, at >> 32)
                self._bars[index] = at
            index += 2 if wide else 1

    def _aligned(self, index: int, size: int, wide: bool) -> int:
        """An address for a BAR; `DriverError` if there is none that its register can hold."""
        pages, room = max(size >> 12, 1), self.bus.mmio if wide else self.bus.low
        try:
            at = room.take(2 * pages - 1)      # so there is an aligned piece in it
        except ValueError as error:
            raise DriverError(f"vPCI slot {self.slot}: BAR {index} of {size:#x} bytes: {error}") from None
        self.bus.taken.append((room, at, 2 * pages - 1))
        base = -(-at // (pages << 12)) * (pages << 12)
        if not wide and base + size > 1 << 32:
            raise DriverError(f"vPCI slot {self.slot}: BAR {index} has 32 bits: no room below 4 GiB")
        return base

    def enable(self) -> None:
        """BARs answer, and the device may use memory."""
        self.write(COMMAND, 2, self.read(COMMAND, 2) | MEMORY_AND_MASTER)

    def capability(self, wanted: int) -> int:
        """Return where in configuration space a capability is; `DriverError` if the function has none."""
        at = self.read(CAPABILITIES, 1)
        for _ in range(48):
            if at < 0x40:
                break
            if self.read(at, 1) == wanted:
                return at
            at = self.read(at + 1, 1)
        raise DriverError(f"vPCI slot {self.slot}: no capability {wanted:#x}")

    def connect(self, entry: int, vector: int, handler: Handler, cpu: Cpu | None = None) -> Steps[tuple[int, int]]:
        """Let MSI-X table entry `entry` call `handler(cpu)` as interrupt `vector` of a vCPU; returns its message."""
        cpu = cpu or self.cpu
        at = self.capability(MSIX_ID)
        (control_at, _), (table_at, _) = MSIX.at("control"), MSIX.at("table")
        control, table = self.read(at + control_at, 2), self.read(at + table_at, 4)
        if entry > control & MSIX_LAST:
            raise DriverError(f"vPCI slot {self.slot}: MSI-X entry {entry}; it has {(control & MSIX_LAST) + 1}")
        answer = yield from self._message(vector, handler, cpu)
        base = self.bar(table & 7) + (table & ~7) + MSIX_ENTRY.size * entry
        (address, _), (data, _), (mask, _) = (MSIX_ENTRY.at(name) for name in ("address", "data", "control"))
        for offset, value in ((mask, MASKED), (address, answer.address & 0xFFFF_FFFF), (address + 4, answer.address >> 32),
                              (data, answer.data), (mask, 0)):      # masked while it changes
            self.cpu.store(base + offset, 4, value)
        if not control & MSIX_ENABLE:
            self.write(at + control_at, 2, control & ~MSIX_FUNCTION_MASK | MSIX_ENABLE)
        return answer.address, answer.data

    def connect_msi(self, vector: int, handler: Handler, cpu: Cpu | None = None) -> Steps[tuple[int, int]]:
        """Let the function's one MSI call `handler(cpu)` as interrupt `vector` of a vCPU; returns its message."""
        at = self.capability(MSI_ID)
        control_at, size = msi(False, False).at("control")
        control = self.read(at + control_at, size)
        layout = msi(bool(control & MSI_WIDE), False)
        (address, _), (data, _) = layout.at("address"), layout.at("data")
        answer = yield from self._message(vector, handler, cpu or self.cpu)
        self.write(at + address, 4, answer.address & 0xFFFF_FFFF)
        if control & MSI_WIDE:
            self.write(at + address + 4, 4, answer.address >> 32)
        self.write(at + data, 2, answer.data)
        self.write(at + control_at, 2, control & ~0x70 | MSI_ENABLE)
        return answer.address, answer.data

    def _message(self, vector: int, handler: Handler, cpu: Cpu) -> Steps:
        """The host's message for `vector`, which calls `handler(cpu)` from now on."""
        answer = yield from self.bus._ask(self._interrupt_request(vector, cpu), "interrupt", v.INTERRUPT_REPLY)

        def interrupt(cpu: Cpu) -> None:
            handler(cpu)
            self.bus.client.eoi(cpu)
        cpu.on_interrupt(vector, interrupt)
        return answer

    def retarget(self, message: bytes, vector: int, cpu: Cpu) -> None:
        """Let the interrupt with `message` (what `connect` gave) come as `vector` to another vCPU: one hypercall.

        The handler must be that vCPU's, too (`cpu.on_interrupt`).
        """
        bus, (address, data) = self.bus, message
        bus.page = bus.page or bus.client.pages.take()
        self.cpu.write(bus.page, v.RETARGET.pack(
            partition=v.THIS_PARTITION, device=v.device_id(bus.channel.offer.instance, self.slot), source=v.SOURCE_MSI,
            address=address, data=data, vector=vector, processor_mask=1 << cpu.index))
        status = self.cpu.hypercall(v.RETARGET_INTERRUPT, bus.page)
        if status:
            raise DriverError(f"vPCI slot {self.slot}: retarget: hypercall status {status:#x}")

    def _interrupt_request(self, vector: int, cpu: Cpu) -> bytes:
        version = self.bus.version
        if version < v.V1_2:
            return v.CREATE_INTERRUPT.pack(slot=self.slot, vector=vector, count=1, processor_mask=1 << cpu.index)
        layout = v.CREATE_INTERRUPT2 if version < v.V1_4 else v.CREATE_INTERRUPT3
        return layout.pack(slot=self.slot, vector=vector, count=1, processors=1,
                           processor_array=cpu.index.to_bytes(2, "little"))
