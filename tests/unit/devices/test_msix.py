"""MSI-X: masks, pending bits, and the table that a checkpoint brings back."""

import json

import pytest

from vmio.devices.pci.msix import Msix

TABLE = [(0xFEE0_1000, 0x4041), (0x1_FEE0_2008, 0x51), (0xFEE0_3000, 0xFFFF_FFFF)]


@pytest.fixture
def msix():
    """Three vectors with messages in the table, on, vector 1 masked; `sent` is what has left."""
    sent = []
    msix = Msix(3, sent.append)
    msix.sent = sent
    for vector, (address, data) in enumerate(TABLE):
        msix.write_table(16 * vector, 8, address)
        msix.write_table(16 * vector + 8, 4, data)
        msix.write_table(16 * vector + 12, 4, int(vector == 1))
    msix.control(True, False)
    return msix


def test_after_a_reset_all_is_masked_and_off(msix):
    msix.function_masked = True
    msix.pending = 5
    msix.reset()
    assert [msix.read_table(16 * vector + 12, 4) for vector in range(3)] == [1] * 3
    assert [msix.message(vector) for vector in range(3)] == [(0, 0)] * 3
    assert (msix.enabled, msix.function_masked, msix.pending) == (False, False, 0)


def test_a_masked_vector_waits_for_its_own_mask(msix):
    for vector in (0, 1, 1, 2):
        msix.notify(vector)
    assert msix.sent == [0, 2] and msix.read_pending(0, 4) == 2
    msix.write_table(12, 4, 0)                       # another vector's: nothing leaves
    assert msix.sent == [0, 2]
    msix.write_table(16 + 12, 4, 0)
    assert msix.sent == [0, 2, 1] and msix.read_pending(0, 4) == 0


def test_the_function_mask_holds_all_of_them(msix):
    msix.control(True, True)
    for vector in range(3):
        msix.notify(vector)
    assert msix.sent == [] and msix.read_pending(0, 8) == 7
    msix.withdraw(2)
    msix.control(False, False)                       # off: nothing leaves
    assert msix.sent == []
    msix.control(True, False)
    assert msix.sent == [0] and msix.read_pending(0, 1) == 2


def test_pending_bits_by_their_bytes():
    msix = Msix(40, lambda vector: None)
    for vector in (0, 9, 33, 39):
        msix.notify(vector)
    assert msix.read_pending(0, 4) == 1 << 9 | 1 and msix.read_pending(4, 4) == 1 << 7 | 2
    assert msix.read_pending(0, 8) == 1 << 39 | 1 << 33 | 1 << 9 | 1 and msix.read_pending(8, 8) == 0


def test_a_checkpoint_brings_back_table_masks_and_what_waits(msix):
    msix.notify(1)
    state = json.loads(json.dumps(msix.save()))
    sent = []
    twin = Msix(3, sent.append)
    twin.restore(state)
    assert [twin.message(vector) for vector in range(3)] == TABLE
    assert [twin.read_table(16 * vector + 12, 4) for vector in range(3)] == [0, 1, 0]
    assert (twin.enabled, twin.function_masked, twin.read_pending(0, 4)) == (True, False, 2)
    twin.notify(2)
    twin.write_table(16 + 12, 4, 0)
    assert sent == [2, 1] and msix.sent == []
    msix.control(False, True)
    twin.restore(msix.save())
    assert (twin.enabled, twin.function_masked) == (False, True)


def test_the_tables_end(msix):
    msix.write_table(48, 4, 0xFFFF_FFFF)
    msix.write_table(44, 8, 0xAAAA_AAAA_0000_0001)   # the first half is the last vector's control
    assert len(msix.table) == 48 and msix.read_table(44, 8) == 1 and msix.read_table(48, 4) == 0
