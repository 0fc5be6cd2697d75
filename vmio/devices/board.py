"""A PC's mainboard: which chip sits at which port and on which line.

The layout is QEMU's `pc` machine (an i440FX with a PIIX3), which is the layout
that every PC operating system's drivers look for.
"""

from collections.abc import Callable, Sequence

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.ata.channel import AtaChannel
from vmio.devices.ata.contracts import Service
from vmio.devices.ata.disk import AtaDisk
from vmio.devices.pc import local_apic as apic
from vmio.devices.pc.i8042 import I8042
from vmio.devices.pc.pic import PicPair
from vmio.devices.pc.pit import Pit
from vmio.devices.pc.port61 import Port61
from vmio.devices.pc.port92 import Port92
from vmio.devices.pc.power_block import PowerBlock
from vmio.devices.pc.rtc import Rtc
from vmio.devices.pc.uart import Uart
from vmio.devices.pci.dma import SystemMemory
from vmio.devices.pci.function import PciFunction
from vmio.devices.pci.host import PciHost
from vmio.devices.pci.piix import IsaBridge, PowerManagement, host_bridge, ide_function, pirq_of
from vmio.devices.pci.slot import connect_bars, connect_pin
from vmio.hypervisor.apic import APIC_HZ, X2APIC_EOI
from vmio.hypervisor.guest import Guest
from vmio.machine.checkpoint import Form, State, same, same_entries
from vmio.machine.clock import Timer, Timers
from vmio.machine.contracts import Kept, Memory
from vmio.machine.lines import Line

BOARD = Form("board", 1, "chips", "channels", "sent", "reset", "int_line")
RTC_BASE = "2024-02-29T23:59:58"
PITS = ("bcd", "binary")


class Board:
    """The chips of a PC, plugged into a guest's buses and lines.

    `disks` are up to four `AtaDisk`s: primary master and slave, secondary master
    and slave.  `service(op, sectors, done)` is the disks' time (see
    `AtaChannel`); `uart_pace` "instant" or "baud"; `serial(byte)` gets what COM1
    sends; `rtc_base` is the date at time 0; `pit` "bcd", or "binary" for a timer that counts
    BCD in binary (`Pit`); with `local_apic` the registers of the only vCPU's local APIC are at
    FEE00000h.  That, the PIC and the PIT answer in the hypervisor, as KVM's in-kernel ones do; the
    others in the host's worker.
    """

    POINTS = {"resetting": "() a guest has pulled the reset wire"}
    resetting: Callable[[], None] | None = None

    def __init__(self, guest: Guest, disks: Sequence[AtaDisk | None] = (), service: Service | None = None,
                 uart_pace: str = "instant", serial: Callable[[int], object] | None = None, rtc_base: str = RTC_BASE,
                 pit: str = "bcd", local_apic: bool = False) -> None:
        if len(disks) > 4:
            raise ValueError(f"disks: {len(disks)} given; a PC's two channels hold 4")
        if pit not in PITS:
            raise ValueError(f"pit {pit!r}: choose one of {', '.join(PITS)}")
        if local_apic and len(guest.vcpus) > 1:
            raise ValueError(f"local_apic: guest {guest.name} has {len(guest.vcpus)} vCPUs; the page of registers is that of one")
        self.guest = guest
        self._reset_timer: Timer | None = None
        clock, lines, io = guest.clock, guest.lines, guest.io
        disks = (*disks, None, None, None, None)
        self.int_line = Line("INT")
        self.pic = PicPair(self.int_line)
        self.pit = Pit(clock, lines[0], decimal=pit == "bcd")
        self.port61 = Port61(clock, self.pit)
        self.kbc = I8042(lines[1], lines[12], on_reset=self._ask_for_reset)
        self.uart = Uart(clock, lines[4], sink=serial, pace=uart_pace)
        self.rtc = Rtc(clock, lines[8], base=rtc_base, ram_mib=guest.ram >> 20, disks=[disk.geometry if disk else None for disk in disks[:4]])
        self.ata = (AtaChannel(clock, lines[14], disks[:2], service), AtaChannel(clock, lines[15], disks[2:4], service))
        self.bus_master = BusMaster(*self.ata, guest.dma)
        self.pci = PciHost(on_reset=self._ask_for_reset)
        self.port92 = Port92(on_reset=self._ask_for_reset)
        self.power = PowerBlock(clock, lines[9])
        self.local_apic = apic.LocalApicPage(guest.cpu.apic, clock, lambda: guest.write_msr(X2APIC_EOI, 0, guest.cpu),
                                             APIC_HZ) if local_apic else None
        self.dma = SystemMemory(guest.dma, self._message)
        self.bridge, ide = IsaBridge(lines), ide_function(self.bus_master)
        for slot, function, chip in ((0, 0, host_bridge(guest.ram >> 20)), (1, 0, self.bridge), (1, 1, ide),
                                     (1, 3, PowerManagement(self.power, io))):
            self.pci.add(slot, function, chip)
        connect_bars(ide, io, guest.mmio, "bus master")

        io.attach(0x20, 2, self.pic.master, "pic", handler="hypervisor")
        io.attach(0x40, 4, self.pit, "pit", handler="hypervisor")
        io.attach(0x60, 1, self.kbc.port60, "i8042")
        io.attach(0x61, 1, self.port61, "port61", handler="hypervisor")
        io.attach(0x64, 1, self.kbc.port64, "i8042")
        io.attach(0x70, 2, self.rtc, "rtc")
        io.attach(0x92, 1, self.port92, "port92")
        io.attach(0xA0, 2, self.pic.slave, "pic", handler="hypervisor")
        io.attach(0x4D0, 2, self.pic.elcr, "pic", handler="hypervisor")
        io.attach(0x3F8, 8, self.uart, "uart")
        for channel, command, control in ((self.ata[0], 0x1F0, 0x3F6), (self.ata[1], 0x170, 0x376)):
            io.attach(command, 8, channel.command, "ata", width=4)
            io.attach(control, 1, channel.control, "ata")
        io.attach(0xCF8, 8, self.pci, "pci", width=4)
        if self.local_apic is not None:
            apic.attach(self.local_apic, guest)

        for n, line in enumerate(lines):
            if n != 2:
                line.connect(self.pic.input(n))
        guest.connect_interrupts(self.pic, self.int_line)

    def plug(self, slot: int, function: PciFunction, name: str, memory: Memory | None = None, number: int = 0) -> PciFunction:
        """Put a PCI function in slot `slot` of bus 0 (0 to 31), as its function `number`; returns it.

        Its BARs answer on this board's buses under `name`, its interrupt pin drives the PIRQ
        that the slot is wired to, and its DMA and messages reach `memory` (default: RAM and
        the vCPUs' APICs).  ValueError if the place is impossible or taken.
        """
        self.pci.add(slot, number, function)
        connect_bars(function, self.guest.io, self.guest.mmio, name)
        connect_pin(function, slot, number, lambda pin, level: self.bridge.set_pirq(pirq_of(slot, pin), level))
        function.reach(self.dma if memory is None else memory)
        return function

    def reset(self) -> None:
        """What the reset wire does to every chip.  RAM, the CMOS and the disks keep what they hold."""
        for chip in (self.pic, self.pit, self.port61, self.kbc, self.port92, self.uart, self.rtc, *self.ata,
                     self.bus_master, self.pci, self.power):
            chip.reset()
        if self.local_apic is not None:
            self.local_apic.reset()

    def _ask_for_reset(self) -> None:
        """A guest pulled the reset wire through a chip; the chip's own write ends first."""
        if self.resetting is not None:
            self.resetting()
        self._reset_timer = self.guest.clock.call_later(0, self.reset)

    # Checkpoint.

    def _chips(self) -> dict[str, Kept]:
        """{name: chip} of all that have a state, in the order in which it is taken back: the PIC hears all lines first."""
        chips: dict[str, Kept] = {
            "port 61": self.port61, "keyboard": self.kbc, "port 92": self.port92, "pit": self.pit, "uart": self.uart, "rtc": self.rtc,
            "power": self.power, "bus master": self.bus_master, "pci": self.pci, "pic": self.pic}
        if self.local_apic is not None:
            chips["local APIC"] = self.local_apic
        return chips

    def timers(self) -> Timers:
        """Return what the chips have on the clock, as (name, `Timer` or None) pairs."""
        found = [("pit", self.pit.timers()), ("uart", self.uart.timers()), ("rtc", self.rtc.timers()), ("power", self.power.timers())]
        if self.local_apic is not None:
            found.append(("local APIC", self.local_apic.timers()))
        return [(f"{name}, {which}", timer) for name, own in found for which, timer in own] + [("reset", self._reset_timer)]

    def save(self) -> State:
        """Return the state of all chips; what the disks hold is their media's."""
        reset = self._reset_timer and self._reset_timer.when
        return BOARD.state(chips={name: chip.save() for name, chip in self._chips().items()},
                           channels=[channel.save() for channel in self.ata], sent=self.uart.sent, reset=reset,
                           int_line=self.int_line.level)

    def restore(self, state: State) -> None:
        """Take back what `save` gave; who serves the disks sets the ends of their accesses again."""
        saved, chips = BOARD.take(state), self._chips()
        same_entries("board", saved["chips"], {name: chip.save() for name, chip in chips.items()})
        for channel, each in zip(self.ata, saved["channels"]):
            same_entries("ATA channel", each, channel.save())
            channel.restore(each, serve=False)
        for name, chip in chips.items():
            chip.restore(saved["chips"][name])
        self.uart.sent[:] = saved["sent"]
        if saved["reset"] is not None:
            self._ask_for_reset()
        same("board, INT", saved["int_line"], self.int_line.level)

    def _message(self, destination: int, vector: int, logical: bool) -> None:
        """A message-signalled interrupt goes to the local APIC that it names: by its number, or by a logical destination.

        A logical one is that of the flat model, if software has set one up in the local APIC's registers.
        """
        if logical:
            if self.local_apic is not None and self.local_apic.answers_to(destination):
                self.guest.cpu.apic.request(vector)
        elif destination < len(self.guest.vcpus):
            self.guest.vcpus[destination].apic.request(vector)
