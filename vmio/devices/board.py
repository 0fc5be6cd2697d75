"""A PC's mainboard: which chip sits at which port and on which line.

The layout is QEMU's `pc` machine (an i440FX with a PIIX3), which is the layout
that every PC operating system's drivers look for.
"""

from vmio.devices.ata.bmide import BusMaster
from vmio.devices.ata.channel import AtaChannel
from vmio.devices.pc.i8042 import I8042
from vmio.devices.pc.pic import PicPair
from vmio.devices.pc.pit import Pit
from vmio.devices.pc.port61 import Port61
from vmio.devices.pc.port92 import Port92
from vmio.devices.pc.rtc import Rtc
from vmio.devices.pc.uart import Uart
from vmio.devices.pci.dma import SystemMemory
from vmio.devices.pci.host import PciHost
from vmio.devices.pci.piix import IsaBridge, host_bridge, ide_function, pirq_of, power_management
from vmio.devices.pci.slot import connect_bars, connect_pin
from vmio.machine.lines import Line

RTC_BASE = "2024-02-29T23:59:58"


class Board:
    """The chips of a PC, plugged into a guest's buses and lines.

    `disks` are up to four `AtaDisk`s: primary master and slave, secondary master
    and slave.  `service(kind, sectors, done)` is the disks' time (see
    `AtaChannel`); `uart_pace` "instant" or "baud"; `serial(byte)` gets what COM1
    sends; `rtc_base` is the date at time 0.  The PIC and the PIT answer in the
    hypervisor, as KVM's in-kernel ones do; the others in the host's worker.
    """

    def __init__(self, guest, disks=(), service=None, uart_pace="instant", serial=None, rtc_base=RTC_BASE):
        if len(disks) > 4:
            raise ValueError(f"disks: {len(disks)} given; a PC's two channels hold 4")
        self.guest = guest
        clock, lines, io = guest.clock, guest.lines, guest.io
        disks = (*disks, None, None, None, None)
        self.int_line = Line("INT")
        self.pic = PicPair(self.int_line)
        self.pit = Pit(clock, lines[0])
        self.port61 = Port61(clock, self.pit)
        self.kbc = I8042(lines[1], lines[12], on_reset=self._ask_for_reset)
        self.uart = Uart(clock, lines[4], sink=serial, pace=uart_pace)
        self.rtc = Rtc(clock, lines[8], base=rtc_base, ram_mib=guest.ram >> 20, disks=[disk and disk.geometry for disk in disks[:4]])
        self.ata = (AtaChannel(clock, lines[14], disks[:2], service), AtaChannel(clock, lines[15], disks[2:4], service))
        self.bus_master = BusMaster(*self.ata, guest.memory)
        self.pci = PciHost(on_reset=self._ask_for_reset)
        self.port92 = Port92(on_reset=self._ask_for_reset)
        self.dma = SystemMemory(guest.memory, self._message)
        self.bridge, ide = IsaBridge(lines), ide_function(self.bus_master)
        for slot, function, chip in ((0, 0, host_bridge(guest.ram >> 20)), (1, 0, self.bridge), (1, 1, ide),
                                     (1, 3, power_management())):
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

        for n, line in enumerate(lines):
            if n != 2:
                line.connect(self.pic.input(n))
        guest.connect_interrupts(self.pic, self.int_line)

    def plug(self, slot, function, name, memory=None, number=0):
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

    def reset(self):
        """What the reset wire does to every chip.  RAM, the CMOS and the disks keep what they hold."""
        for chip in (self.pic, self.pit, self.port61, self.kbc, self.port92, self.uart, self.rtc, *self.ata,
                     self.bus_master, self.pci):
            chip.reset()

    def _ask_for_reset(self):
        """A guest pulled the reset wire through a chip; the chip's own write ends first."""
        self.guest.clock.call_later(0, self.reset)

    def _message(self, destination, vector):
        """A message-signalled interrupt goes to the local APIC of the vCPU that it names, if there is one."""
        if destination < len(self.guest.vcpus):
            self.guest.vcpus[destination].apic.request(vector)
