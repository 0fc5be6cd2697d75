"""The host's half of virtual PCI: tells a guest of its function, and follows what the guest does with it.

    vsp = VpciVsp(host, guest, assignment)
    vsp.offer(VmbusServer(guest))

Nothing here is on the way of a request to the device.  Nothing a guest writes
raises: it is answered with a status, or counted in `refused`; a corrupt ring ends the
channel.  Public sources: OpenVMM vm/devices/pci/vpci (order and checks), Linux
drivers/pci/controller/pci-hyperv.c (the guest that we serve).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from simpy.events import Event

from vmio.hypervisor.contracts import Root
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.bus import Region
from vmio.machine.contracts import Record
from vmio.machine.layout import ShortMessage
from vmio.passthrough.guest_config import ConfigWindow, GuestConfig
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.contracts import Answerable
from vmio.vmbus.bus.device import BusDevice
from vmio.vmbus.bus.messages import PCI_CLASS
from vmio.vmbus.bus.packets import INBAND, Packet
from vmio.vmbus.pci import vpci as v

VERSIONS = v.LINUX_VERSIONS
SLOT = v.slot_number(0)


class Assigned(Protocol):
    """The device behind a virtual PCI bus; see `Assignment`."""

    config: GuestConfig

    def identity(self) -> dict[str, int]:
        """Return who it is, for the offer of its function."""

    def is_free(self, gpa: int, length: int) -> bool:
        """Return whether a window may lie there."""

    def acquired(self) -> None:
        """The guest uses it from now on."""

    def released(self) -> None:
        """The guest uses it no more."""

    def reset(self) -> None:
        """Reset the function."""

    def create_interrupt(self, cpu: VCpu, vector: int, count: int) -> tuple[int, int] | None:
        """Return the message that interrupts a vCPU."""

    def delete_interrupt(self, address: int, data: int) -> bool:
        """Forget a message."""


class VpciVsp(BusDevice):
    """One bus with one function.  `device` is the `Assignment` (see there for what is asked of it)."""

    class_id = PCI_CLASS
    guest: Guest
    batch = 1           # each message is answered before the next one is looked at

    def __init__(self, host: Root, guest: Guest, device: Assigned, number: int = 1, versions: Sequence[int] = VERSIONS) -> None:
        # Bytes 4 and 5 become the PCI domain in the guest, so they must differ between its buses.
        super().__init__(host, guest, b"vpci" + number.to_bytes(2, "little") + b"vmio-vpci\0")
        self.device, self.versions = device, versions
        self.version: Any = None        # an int, once it is agreed on
        self.powered = self.ejecting = False
        self.refused: Counter[str] = Counter()
        self.handled: Counter[str] = Counter()
        self.on_ejected: Callable[[int], None] | None = None   # function(status) when the guest has let the device go
        self._window: Region | None = None

    def rescind(self) -> None:
        """Take the bus away, whatever the guest does."""
        self.server.rescind(self.channel)  # type: ignore[union-attr, arg-type]  # it was offered

    def eject(self) -> bool:
        """Ask the guest to let the device go; False if nobody is there to be asked."""
        if self.worker is None or self.version is None:
            return False
        self.ejecting = True
        self.post(v.EJECT.pack(slot=SLOT))
        return True

    # The channel.

    def opened(self, end: ChannelEnd) -> None:
        """The guest opened the channel: everything starts anew."""
        self.version = None
        super().opened(end)

    def closed(self) -> Event | None:
        """Return the guest has gone, or must go: what it set up is undone, and the device reset."""
        draining = super().closed()
        self.version = None
        self._power_off()
        return draining

    # Messages.

    def packet(self, request: Answerable, packet: Packet) -> None:
        """Check what can be checked without knowing the message; then its own method answers."""
        kind = int.from_bytes(packet.payload[:4], "little")
        status, answer = v.INVALID_DEVICE_REQUEST, None
        layout, method = self._MESSAGES.get(kind, (None, None))
        if packet.kind != INBAND or method is None:
            self.refused["no message for a host"] += 1
        elif self.version is None and kind != v.Message.QUERY_PROTOCOL_VERSION:
            status = self._refuse("before the version", v.INVALID_DEVICE_STATE)
        else:
            try:
                record = layout.parse(packet.payload)  # type: ignore[union-attr]  # there is a method
            except ShortMessage:
                status = self._refuse("short message", v.INVALID_PARAMETER)
            else:
                if getattr(record, "slot", SLOT) != SLOT:
                    status = self._refuse("no such slot", v.NO_SUCH_DEVICE)
                else:
                    answer = method(self, record)
                    status = answer if isinstance(answer, int) else v.SUCCESS
                    self.handled[v.NAMES[kind]] += 1
        if packet.wants_completion:
            payload = answer if isinstance(answer, bytes) else v.STATUS.pack(status=status)
            request.complete(payload, packet.transaction_id)
        else:
            request.end()

    def _refuse(self, reason: str, status: int) -> int:
        self.refused[reason] += 1
        return status

    def _query_version(self, record: Record) -> bytes:
        if not self.told_version(record.version, record.version in self.versions):
            return v.VERSION_REPLY.pack(status=v.REVISION_MISMATCH, version=self.versions[0])
        self.version = record.version
        return v.VERSION_REPLY.pack(version=record.version)

    def _query_relations(self, record: Record) -> int:
        """The list of functions comes as a message of its own, not as the answer."""
        layout, each = (v.BUS_RELATIONS2, v.FUNCTION2) if self.version >= v.V1_3 else (v.BUS_RELATIONS, v.FUNCTION)
        self.post(layout.pack(count=1, functions=each.pack(slot=SLOT, **self.device.identity())))
        return v.SUCCESS

    def _query_resources(self, record: Record) -> bytes:
        return v.REQUIREMENTS.pack(**{f"bar{n}": value for n, value in enumerate(self.device.config.probe())})

    def _enter_d0(self, record: Record) -> int:
        """The bus is on, and its configuration window is at the address that the guest chose."""
        if self.powered:
            return self._refuse("D0 twice", v.INVALID_DEVICE_STATE)
        if not self.device.is_free(record.window, v.WINDOW):
            return self._refuse("window over something else", v.INVALID_PARAMETER)
        self.show(record.window)
        self.powered = True
        return v.SUCCESS

    def show(self, gpa: int) -> ConfigWindow:
        """Let the window answer at this guest-physical address; returns it."""
        window = ConfigWindow({SLOT: self.device.config})
        self._window = self.guest.mmio.attach(gpa, v.WINDOW, window, "vpci config", width=4)
        return window

    def _exit_d0(self, record: Record) -> int:
        self._power_off()
        return v.SUCCESS

    def _power_off(self) -> None:
        self.powered = False
        if self._window is not None:
            self.guest.mmio.detach(self._window)
            self._window = None
        self.device.released()

    def _power_state(self, record: Record) -> bytes | int:
        if record.state not in (v.D0, v.D3):
            return self._refuse("power state", v.INVALID_PARAMETER)
        return v.POWER_REPLY.pack(slot=record.slot, state=record.state)

    def _resources_assigned(self, record: Record) -> int:
        """From now on the BARs answer where the guest puts them."""
        if not self.powered:
            return self._refuse("resources before D0", v.INVALID_DEVICE_STATE)
        self.device.acquired()
        return v.SUCCESS

    def _resources_released(self, record: Record) -> int:
        self.device.released()
        return v.SUCCESS

    def _create_interrupt(self, record: Record) -> bytes:
        """Entries of the remapping table; the guest writes the message into the MSI-X table itself.

        More than one belong to a device with MSI: `count` vectors in a row, and messages whose data counts up.
        """
        targets, count = v.targets(record), record.count
        if (not targets or max(targets) >= len(self.guest.vcpus) or not 1 <= count <= v.MAX_MESSAGES
                or not 16 <= record.vector <= 256 - count or record.mode not in (v.FIXED, v.LOWEST_PRIORITY)):
            return v.INTERRUPT_REPLY.pack(status=self._refuse("impossible interrupt", v.INVALID_PARAMETER))
        message = self.device.create_interrupt(self.guest.vcpus[targets[0]], record.vector, count)
        if message is None:
            return v.INTERRUPT_REPLY.pack(status=self._refuse("too many interrupts", v.INSUFFICIENT_RESOURCES))
        return v.INTERRUPT_REPLY.pack(count=count, address=message[0], data=message[1])

    def _delete_interrupt(self, record: Record) -> int:
        if not self.device.delete_interrupt(record.address, record.data):
            return self._refuse("no such interrupt", v.INVALID_PARAMETER)
        return v.SUCCESS

    def _reset_device(self, record: Record) -> int:
        self.device.reset()
        return v.SUCCESS

    def _ejected(self, record: Record) -> int:
        """The guest has let go.  Without our having asked, it is a guest that leaves a device it may keep."""
        if not self.ejecting:
            return self._refuse("ejection that nobody asked for", v.INVALID_DEVICE_STATE)
        self.ejecting = False
        if self.on_ejected is not None:
            self.on_ejected(record.status)
        return v.SUCCESS

    _MESSAGES = {layout.fields[0].default: (layout, method) for layout, method in (
        (v.QUERY_PROTOCOL_VERSION, _query_version), (v.QUERY_BUS_RELATIONS, _query_relations),
        (v.QUERY_RESOURCE_REQUIREMENTS, _query_resources), (v.BUS_D0ENTRY, _enter_d0), (v.BUS_D0EXIT, _exit_d0),
        (v.POWER_STATE_CHANGE, _power_state), (v.RESOURCES_ASSIGNED, _resources_assigned),
        (v.RESOURCES_ASSIGNED2, _resources_assigned), (v.RESOURCES_RELEASED, _resources_released),
        (v.CREATE_INTERRUPT, _create_interrupt), (v.CREATE_INTERRUPT2, _create_interrupt),
        (v.CREATE_INTERRUPT3, _create_interrupt), (v.DELETE_INTERRUPT, _delete_interrupt),
        (v.RESET_DEVICE, _reset_device), (v.EJECTION_COMPLETE, _ejected))}
