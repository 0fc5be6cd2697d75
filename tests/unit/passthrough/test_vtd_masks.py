"""Which bits of the IOMMU's registers software may write, and which it sees (VT-d 11.4; the same on QEMU 7.2)."""

import pytest

from tests.unit.passthrough.test_vtd_registers import Machine
from vmio.passthrough.iommu import vtd

# offset: (at power-on, after all ones, after zeros again); everything else stays 0
REGISTERS = {
    0x00: (0x10, 0x10, 0x10), 0x08: (0x2226_0206,) * 3, 0x0C: (0x00D2_008C,) * 3, 0x10: (0x00F0_0F4A,) * 3,
    0x20: (0, 0xFFFF_FC00, 0), 0x24: (0, 0xFFFF_FFFF, 0),                                   # RTADDR
    0x28: (0, 0xFFFF, 0), 0x2C: (0, 0x7800_0000, 0x1800_0000),                              # CCMD: what was done stays
    0x38: (0x8000_0000, 0x8000_0000, 0), 0x3C: (0, 0xFFFF, 0), 0x40: (0, 0xFFFF_FFFC, 0),   # FECTL, FEDATA, FEADDR
    0x88: (0, 0x7_FFF0, 0), 0x90: (0, 7, 0),                                                # IQT; IQA shows what is in use
    0xA0: (0x8000_0000, 0x8000_0000, 0), 0xA4: (0, 0xFFFF_FFFF, 0), 0xA8: (0, 0xFFFF_FFFC, 0),   # IECTL, IEDATA, IEADDR
    0xB8: (0, 0xFFFF_F80F, 0), 0xBC: (0, 0xFFFF_FFFF, 0),                                   # IRTA
    0xFC: (0, 0x3603_FFFF, 0x0600_0000),                                                    # IOTLB
}


@pytest.mark.parametrize("at", [at for at in (*range(0, 0x110, 4), *range(0x220, 0x230, 4)) if at not in (0x18, 0x1C)])
def test_bits_that_stay(at):
    machine = Machine()
    seen = [machine.get(at)]
    for value in (0xFFFF_FFFF, 0):
        machine.put(at, value)
        seen.append(machine.get(at))
    assert tuple(seen) == REGISTERS.get(at, (0, 0, 0))


def test_commands_show_in_the_status_alone():
    machine = Machine()
    for bit in range(32):
        machine.put(0x18, 1 << bit)
        assert machine.get(0x18) == 0
    assert machine.get(0x1C) & 0x007F_FFFF == 0


def test_the_bits_of_the_command_register():
    """VT-d 11.4.4.1: TE, SRTP, QIE, IRE, SIRTP, CFI."""
    assert (vtd.TRANSLATE, vtd.SET_ROOT, vtd.QUEUE, vtd.REMAP_INTERRUPTS, vtd.SET_INTERRUPT_TABLE, vtd.COMPATIBILITY) == tuple(
        1 << bit for bit in (31, 30, 26, 25, 24, 23))
