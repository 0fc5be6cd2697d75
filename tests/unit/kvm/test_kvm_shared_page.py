"""One page of the host's in several machines: reads don't exit, a write does and changes nothing; what was recorded says the same."""

import json

import pytest
from tests.unit.kvm.test_kvm import on_kvm

from vmio import data
from vmio.processors.kvm import recorded

LIBC, CHANGED, NEW = 0x6C69_6263, 0x6576_696C, 0x6C69_6232


def expected(machines):
    """What the rules say: KVM's slots and nothing else."""
    return {"loads": [0] * machines, "stores": [3] + [0] * (machines - 1),
            "values": [[LIBC] * machines, [LIBC] * machines, [NEW] * machines], "resident_kib": 4, "writable": [0, CHANGED]}


@pytest.mark.parametrize("machines", recorded.SHARERS)
def test_what_was_recorded_and_what_is_live(machines):
    kept = json.loads(data.path("kvm-recorded.json").read_text(encoding="utf-8"))["shared"][str(machines)]
    assert recorded.shared_page(machines) == kept == expected(machines)


@on_kvm
@pytest.mark.parametrize("machines", (1, 3, 8))
def test_any_number_of_machines(machines):
    from vmio.processors.kvm import shared_page
    assert shared_page.told(machines) == expected(machines)


@on_kvm
def test_a_refused_store_names_its_address_and_value():
    import mmap

    from vmio.processors.kvm.guest import Guest
    from vmio.processors.kvm.shared_page import AT, _stores
    page = mmap.mmap(-1, 4096)
    with Guest() as guest:
        guest.vm.add_slot(AT, 4096, True, page)
        exits = guest.run(_stores()).exits[:-1]
    assert [(one.address, one.value, one.size, one.write) for one in exits] == [(AT, CHANGED, 4, True)] * 3 and page[:4] == bytes(4)
    page.close()


def test_without_kvm_the_recorded_one_is_shown(monkeypatch):
    monkeypatch.setattr(recorded, "live", lambda: (False, "none"))
    assert recorded.shared_page.__wrapped__(2) == expected(2)
