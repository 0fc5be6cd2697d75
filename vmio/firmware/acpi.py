"""The ACPI tables of our board: how it is switched off and reset, and that there is a VMBus.

Linux's hv_vmbus binds to a device whose _HID is "VMBus" and that has resources (drivers/hv/vmbus_drv.c); PCI is found by
PNP0A03, with what its bridge passes on and where its interrupt wires lead.  There is a local APIC and no I/O APIC: PCI
interrupts by the two PICs, and the timer may be the processor's own.  No PM timer is told: a kernel that finds one tests
it against the PIT, in thousands of exits.

Source: ACPI specification 6.5, 5.2, 6.2.13 (_PRT) and 7.4.2 (_S5); Intel 290562 (PIIX4), 7.2.
"""

from collections.abc import Sequence

from vmio.devices.pc.power_block import CONTROL, STATUS
from vmio.devices.pci.piix import pirq_of
from vmio.firmware import acpi_wire as w
from vmio.firmware import aml
from vmio.firmware.pci_setup import FIRST_ADDRESS, LAST_ADDRESS, POWER_BASE, POWER_IRQ, ROUTES
from vmio.machine.contracts import Memory

BASE, END = 0xE0000, 0x100000                # where a PC's firmware has room; zero_page says that it is taken
FACS, FADT, MADT, XSDT, DSDT = BASE + 0x100, BASE + 0x200, BASE + 0x400, BASE + 0x500, BASE + 0x600
OEM, TABLE = b"VMIO", b"VMIOPC"
RESET_PORT, RESET_VALUE = 0xCF9, 6           # the chip set's reset control: hard reset (PIIX3 data sheet, 2.5.5)
CONFIG_PORTS, SLOTS = 0xCF8, 32
CENTURY = 0x32                               # of the CMOS
NONE = 0xFFF                                 # a latency that says that there is no such state


def checksum(data: bytes) -> int:
    """Return the byte that makes the sum of all of `data` and itself a multiple of 256."""
    return -sum(data) & 0xFF


def table(signature: bytes, body: bytes, revision: int) -> bytes:
    """Return a table: its header, with the checksum of all, and `body`."""
    fields = dict(signature=signature, length=w.HEADER.size + len(body), revision=revision, oem_id=OEM, oem_table_id=TABLE,
                  oem_revision=1, creator_id=OEM, creator_revision=1)
    return w.HEADER.pack(checksum=checksum(w.HEADER.pack(**fields) + body), **fields) + body


def description(vmbus: bool = True, mmio: Sequence[tuple[int, int]] = ()) -> bytes:
    """Return the AML of our board: soft off is type 0 (as the PIIX4 has it), a PCI bus, and a VMBus if there is one.

    `mmio` are (address, bytes) of guest-physical memory that devices on the VMBus may take addresses from.
    """
    soft_off = aml.name("_S5_", aml.package(*(aml.integer(0) for _ in range(4))))
    windows = aml.resources(aml.bus_numbers(0, 256), aml.io_ports(CONFIG_PORTS, 8), aml.port_window(0, CONFIG_PORTS),
                            aml.port_window(CONFIG_PORTS + 8, (1 << 16) - CONFIG_PORTS - 8),
                            aml.low_memory(FIRST_ADDRESS, LAST_ADDRESS - FIRST_ADDRESS))
    pci = aml.device("PCI0", aml.name("_HID", aml.eisa_id("PNP0A03")), aml.name("_UID", aml.integer(0)), aml.name("_BBN", aml.integer(0)),
                     aml.name("_CRS", windows), aml.name("_PRT", _wires()))
    bus = aml.device("VMB0", aml.name("_HID", aml.string("VMBus")), aml.name("_UID", aml.integer(0)),
                     aml.name("_CRS", aml.resources(*(aml.memory(*each) for each in mmio))))
    return soft_off + aml.scope("_SB_", pci, *([bus] if vmbus else []))


def _wires() -> bytes:
    """Which interrupt each pin of each slot is wired to: (slot, pin, no link device, IRQ)."""
    return aml.package(*(aml.package(aml.integer(slot << 16 | 0xFFFF), aml.integer(pin), aml.integer(0), aml.integer(ROUTES[pirq_of(slot, pin)]))
                         for slot in range(1, SLOTS) for pin in range(4)))


def _fixed() -> bytes:
    """The FADT's fields: a PC with its old devices, always in ACPI mode, without buttons."""
    def ports(at: int, count: int) -> bytes:
        return w.ADDRESS.pack(space=w.PORTS, bits=8 * count, access=w.WORDS, address=at)
    event, control = POWER_BASE + STATUS, POWER_BASE + CONTROL
    return w.FADT.pack(
        facs=FACS, dsdt=DSDT, x_dsdt=DSDT, profile=1, sci_irq=POWER_IRQ, pm1_event=event, pm1_control=control, pm1_event_bytes=4,
        pm1_control_bytes=2, c2_latency=NONE, c3_latency=NONE, century=CENTURY,
        boot_architecture=w.LEGACY_DEVICES | w.KEYBOARD_CONTROLLER,
        flags=w.WBINVD | w.HALT | w.NO_POWER_BUTTON | w.NO_SLEEP_BUTTON | w.RESET_REGISTER,
        reset=w.ADDRESS.pack(space=w.PORTS, bits=8, access=1, address=RESET_PORT), reset_value=RESET_VALUE,
        x_pm1_event=ports(event, 4), x_pm1_control=ports(control, 2))


def tables(vmbus: bool = True, mmio: Sequence[tuple[int, int]] = (), local_apic: bool = True) -> dict[int, bytes]:
    """Return {guest-physical address: bytes} of all; the RSDP is at `BASE`.  `local_apic`: the processor's page is there."""
    rsdp = w.RSDP.pack(oem_id=OEM, xsdt=XSDT)
    rsdp = w.RSDP.pack(oem_id=OEM, xsdt=XSDT, checksum=checksum(rsdp[:w.FIRST_RSDP]))
    rsdp = w.RSDP.pack(oem_id=OEM, xsdt=XSDT, checksum=rsdp[8], extended_checksum=checksum(rsdp))
    found = {BASE: rsdp, FACS: w.FACS.pack(), FADT: table(b"FACP", _fixed(), 3), DSDT: table(b"DSDT", description(vmbus, mmio), 2)}
    if local_apic:
        found[MADT] = table(b"APIC", w.MADT.pack() + w.MADT_LOCAL_APIC.pack(), 3)
    listed = b"".join(address.to_bytes(8, "little") for address in (FADT, MADT) if address in found)
    return found | {XSDT: table(b"XSDT", listed, 1)}


def write(memory: Memory, vmbus: bool = True, mmio: Sequence[tuple[int, int]] = (), local_apic: bool = True) -> int:
    """Put the tables into `memory`; returns where the RSDP is."""
    for address, data in tables(vmbus, mmio, local_apic).items():
        memory.write(address, data)
    return BASE
