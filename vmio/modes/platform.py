"""What all devices of a guest share: its host, its VMBus, and the guest's driver for that bus."""

from typing import Any

from vmio.drivers.pages import GuestPages
from vmio.drivers.vmbus import VmBusClient
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.guest import Guest
from vmio.hypervisor.hyperv.hypercalls import enable_enlightenments
from vmio.hypervisor.vcpu import VCpu
from vmio.vmbus.bus.server import VmbusServer


MMIO = 1 << 36           # guest-physical: where the guest has room for windows and BARs
MMIO_BYTES = 1 << 24


class Platform:
    """A guest before its devices; attachments plug into it.  Host and guest side of the bus are made when first asked for."""

    def __init__(self, guest: Guest) -> None:
        self.guest, self.host = guest, guest.host
        self.board: Any = None       # the emulated PC, once an emulated device is plugged in
        self.mmio = GuestPages(MMIO, MMIO + MMIO_BYTES)
        self.devices = 0             # on the bus so far
        self._server: VmbusServer | None = None
        self._client: VmBusClient | None = None

    @property
    def bus(self) -> VmbusServer:
        """The host's side of the guest's VMBus (`VmbusServer`); asking for it makes the guest an enlightened one."""
        if self._server is None:
            enable_enlightenments(self.guest)
            self._server = VmbusServer(self.guest)
        return self._server

    def number(self) -> int:
        """Return the number of one more device on the bus, from 1: it tells devices of a class apart."""
        self.devices += 1
        return self.devices

    def channel(self, cpu: VCpu, pages: GuestPages, device: Any) -> Steps[tuple]:
        """Generator: the client of the guest's bus and the channel that `device` was offered as.

        The first caller connects, for all.
        """
        if self._client is None:
            self._client = VmBusClient(cpu, pages)
            yield from self._client.connect()
            yield from self._client.request_offers()
        channel = next(each for each in self._client.channels.values() if each.offer.instance == device.instance_id)
        return self._client, channel
