"""The kernel's dirty log: bits set are the pages that the guest wrote, live where KVM is usable; what was recorded says the same."""

import json
import random

import pytest
from tests.unit.kvm.test_kvm import LINUX, on_kvm, on_linux

from vmio import data
from vmio.processors.kvm import recorded

if LINUX:
    from vmio.processors.kvm import dirty_log
    from vmio.processors.kvm.guest import Guest
    from vmio.processors.kvm.vm import KvmError


@pytest.mark.parametrize("order", recorded.ORDERS)
def test_bits_are_pages_written(order):
    wrote = sorted(recorded.ORDERS[order])
    kept = json.loads(data.path("kvm-recorded.json").read_text(encoding="utf-8"))["dirty"][order]
    assert recorded.dirty(order) == kept == [[], wrote, [], []]     # read, written, asked again, written by the host


@on_kvm
@pytest.mark.parametrize("seed", range(5))
def test_any_pages_in_any_order(seed):
    dice = random.Random(seed)
    pages = [dice.randrange(dirty_log.PAGES) for _ in range(dice.randint(1, 200))]
    assert dirty_log.told(pages)[1] == sorted(set(pages))


@on_kvm
def test_a_slot_without_a_log_has_none():
    with Guest() as guest, pytest.raises(KvmError, match="KVM_GET_DIRTY_LOG"):
        guest.vm.dirty_pages(guest.ram)


@on_linux
def test_a_page_that_there_is_not():
    with pytest.raises(ValueError, match="page 1024: 0 to 1023"):
        dirty_log.told([5, 1024])
