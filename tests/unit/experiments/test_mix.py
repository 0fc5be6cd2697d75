"""Guests of one generation on hosts of another: what drivers and hosts negotiate is what the lists of their versions say, and nothing is looked up."""

from dataclasses import replace
from random import Random

import pytest

from vmio.experiments import mix, mix_kinds as k, mix_lies
from vmio.experiments.mix_machine import Mixed
from vmio.experiments.mix_result import BREAKS, FALLS_BACK, PASSES, REFUSED
from vmio.experiments.pattern import pattern
from vmio.hypervisor.costs import published
from vmio.machine.probes import watch
from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.storage import vstor as v

GUESTS, HOSTS = [one.name for one in k.GUESTS], [one.name for one in k.HOSTS]


def common(asked, spoken):
    """The first version that the guest asks for and the host speaks."""
    return next((version for version in asked if version in spoken), None)


def fits(guest, host, driver):
    """Whether a driver comes up, by nothing but the two lists: an independent judge of the runs."""
    if k.DEVICES[driver] not in host.devices:
        return False
    if driver in k.ON_VMBUS and common(guest.bus, host.bus) is None:
        return False
    if driver == k.STORVSC:
        return common(guest.storage, host.storage) is not None
    return driver not in (k.NETVSC, k.WITH_FUNCTION) or common(guest.network, host.network) is not None


def expected(guest, host, drivers):
    return next((driver for driver in drivers if fits(guest, host, driver)), "")


@pytest.mark.parametrize("guest", k.GUESTS, ids=lambda one: one.name)
def test_the_first_driver_that_fits_comes_up(guest):
    for host in k.HOSTS:
        cell = mix.cell(guest.name, host.name)
        assert [each.driver for each in cell.devices] == [expected(guest, host, guest.disk), expected(guest, host, guest.net)]
        for device, drivers in zip(cell.devices, (guest.disk, guest.net)):
            assert [one.driver for one in device.tries] == list(drivers[:len(device.tries)])
            assert all(one.refused for one in device.tries[:-1])
        bus = common(guest.bus, host.bus)
        assert cell.agreed("VMBus") == ("" if bus is None else m.version_text(bus))
        if bus is not None:
            assert dict(cell.asked["VMBus"]) == {m.version_text(one): one == bus for one in guest.bus[:guest.bus.index(bus) + 1]}


def test_what_comes_of_each_guest_on_each_host():
    letters = {PASSES: "P", FALLS_BACK: "F", REFUSED: "R", BREAKS: "B"}
    assert {guest: "".join(letters[mix.cell(guest, host).verdict] for host in HOSTS) for guest in GUESTS} == {
        "1995": "PPPPR", "2000": "BPPPR", "2008": "FFFFR", "2012": "FPPPR", "2013 gen 2": "RPPPR", "2020 cloud": "RFFPP", "isolated": "RRRPP",
        "virtio": "RRRRR"}


@pytest.mark.parametrize("guest", k.GUESTS, ids=lambda one: one.name)
def test_on_a_host_without_vmbus_each_guest_takes_what_it_knows(guest):
    cell = mix.meet(guest, k.KVM)
    assert [each.driver for each in cell.devices] == [expected(guest, k.KVM, guest.disk), expected(guest, k.KVM, guest.net)]
    assert all(device.worked() == bool(device.driver) and not device.broke for device in cell.devices) and not cell.asked.get("VMBus")
    refused = {one.refused for device in cell.devices for one in device.tries} - {""}
    assert refused == ({"not Hyper-V's interface"} if guest.bus else set()), "it reads KVM's name, and goes"


def test_virtio_costs_a_kick_and_a_halt():
    disk, card = mix.meet(k.guest("virtio"), k.KVM).devices
    assert [(one.exits, one.at_device, one.interrupts) for one in (disk, card)] == [(2, 1, 1), (2, 1, 1)]
    assert mix.cell("virtio", "2022").disk.reason == "PCI: no function 1AF4:1042 in 32 slots"
    assert mix.cell("virtio", "2022").network.reason == "PCI: no function 1AF4:1041 in 32 slots"


@pytest.mark.parametrize("host", ["2012", "2022"])
def test_what_the_host_hears_is_what_the_guest_has_asked(monkeypatch, host):
    """Each question arrives: of the bus, and of all of its devices' protocols."""
    heard = {}

    class Heard(Mixed):
        def __init__(self, *what):
            super().__init__(*what)
            card = self.parts[k.FUNCTION] if k.FUNCTION in self.parts else self.parts[k.NIC]
            parts = {"VMBus": self.platform.bus, "storage": self.parts[k.SCSI].vsp, "network": card.vsp}
            if k.NVME in self.parts:
                parts["vPCI"] = self.parts[k.NVME].lent.vsp
            for name, part in parts.items():
                watch(part, "negotiated", lambda version, agreed, name=name: heard.setdefault(name, []).append((version, agreed)))
    monkeypatch.setattr(mix, "Mixed", Heard)
    texts = {"VMBus": m.version_text, "vPCI": m.version_text, "storage": v.version_text, "network": n.version_text}
    asked = mix.run("2020 cloud", host).asked
    assert asked == {name: tuple((texts[name](version), agreed) for version, agreed in heard[name]) for name in texts if name in heard}
    assert set(asked) == ({"VMBus", "vPCI", "network"} if host == "2022" else {"VMBus", "storage", "network"})


@pytest.mark.parametrize("seed", range(12))
def test_any_lists_of_versions_are_negotiated_as_both_sides_have_them(seed):
    random = Random(seed)

    def some(versions, least=0):
        found = random.sample(versions, random.randint(least, len(versions)))
        return tuple(sorted(found, reverse=True))
    buses, storages, networks = (m.V5_3, m.V5_2, m.V5_0, m.V4_0, m.V3_0, m.WIN8), (v.WIN10, v.WIN8_1, v.WIN8), n.VERSIONS
    guest = replace(k.guest("2013 gen 2"), bus=some(buses, 1), storage=some(storages, 1), network=some(networks, 1))
    host = replace(k.host("2022"), bus=some(buses, 1), storage=some(storages), network=some(networks))
    cell = mix.meet(guest, host)
    assert [each.driver for each in cell.devices] == [expected(guest, host, guest.disk), expected(guest, host, guest.net)]
    if common(guest.bus, host.bus) is None:
        assert cell.asked.keys() == {"VMBus"} and cell.verdict == REFUSED
        assert cell.reason == f"VMBus: no version in common with the host; asked for {', '.join(map(m.version_text, guest.bus))}"
        return
    for name, asked, spoken, text in (("storage", guest.storage, host.storage, v.version_text), ("network", guest.network, host.network, n.version_text)):
        agreed = common(asked, spoken)
        assert cell.agreed(name) == ("" if agreed is None else text(agreed))


def test_costs_are_those_of_the_driver_that_came_up():
    """Beside an unmodified Linux: accesses of the disk's registers for one read, counted by QEMU's trace events."""
    linux = {row: float(published()[row]["value"]) for row in ("L01.1", "L01.2", "L01.3")}
    old, dma, split, cloud = (mix.cell(*of) for of in (("1995", "2012"), ("2000", "2012"), ("2012", "2012"), ("2020 cloud", "2022")))
    assert abs(old.disk.at_device / linux["L01.1"] - 1) < 0.01
    assert dma.disk.at_device == 17 < linux["L01.2"]           # our driver looks at the status less often
    assert (old.disk.interrupts, dma.disk.interrupts, split.disk.interrupts) == (8, 1, 1)
    assert (split.disk.exits, cloud.disk.exits) == (2, 1)      # a signal and a HLT; a HLT alone: its doorbells don't exit
    assert [one.network.exits for one in (old, split, cloud)] == [13, 3, 1]
    assert old.network.at_device == 10
    assert old.network.setup_exits > 25_000 > 100 * split.network.setup_exits


def test_a_driver_that_does_not_ask_breaks():
    cell = mix.cell("2000", "emulator")
    assert cell.verdict == BREAKS and cell.reason == cell.disk.broke == "ATA command C8h at LBA 0: status 0x41, error 0x04"
    assert not cell.disk.worked() and cell.network.worked() and cell.network.verdict == PASSES
    careful = mix.cell("2012", "emulator").disk                # the same disk, and a driver that looks at IDENTIFY
    assert careful.driver == k.IDE_EITHER and careful.at_device > 1000
    assert mix.cell("2008", "2022").disk.at_device == mix.cell("2000", "2022").disk.at_device


def test_a_guest_that_finds_nothing_says_where_it_has_looked():
    gone = mix.cell("1995", "legacy gone")
    assert [each.reason for each in gone.devices] == ["no disk at port 0x1f0, unit 0: status 0xff", "PCI: no function 1011:0009 in 32 slots"]
    assert mix.cell("2013 gen 2", "emulator").reason == "no hypervisor"
    assert mix.cell("2020 cloud", "2012").disk.tries[0].refused == "NVMe: no NVMe function among what the bus offers: NIC, SCSI"


@pytest.mark.parametrize("lie, guest, verdict, said", [
    ("connection", "2020 cloud", REFUSED, "HvCallPostMessage: status 0x12"),
    ("connection", "2013 gen 2", PASSES, ""),                  # before 5.0 the guest isn't told where to post
    ("version", "2013 gen 2", REFUSED, "StorVSC: asked for version 6.0, the host says 2.0"),
    ("transfer size", "2013 gen 2", REFUSED, "StorVSC: the host moves 0 bytes at most, a page is needed"),
    ("capacity", "2013 gen 2", BREAKS, "sector 4,095, the last that the disk says it has: "),
    ("sections", "2013 gen 2", REFUSED, "NetVSC: the host cuts a receive buffer of 2,097,152 bytes into 1048576 sections of 1048576 bytes"),
])
def test_a_host_that_lies_is_found_out_and_lives_on(lie, guest, verdict, said):
    cell = mix.cell(guest, "2022", lie)
    assert cell.verdict == verdict and cell.reason.startswith(said) and bool(said) == bool(cell.reason)
    assert cell.neighbour is True


def test_a_lie_is_told_to_nobody_else():
    assert mix.cell("2013 gen 2", "2022").neighbour is None
    assert {one.name for one in mix_lies.LIES} == {"none", "connection", "version", "transfer size", "capacity", "sections"}
    old = mix.cell("2012", "2022", "version")                  # falls back to a disk about which nobody lies
    assert old.disk.verdict == FALLS_BACK and old.disk.driver == k.IDE_EITHER and old.network.verdict == PASSES


def test_wrong_bytes_break_a_cell(monkeypatch):
    changed = type("Changed", (), {"read": lambda self, lba, count: bytes(count * 512)})()
    real = Mixed

    def with_real_disk(kind, host, image, lie):
        return real(kind, host, pattern(mix.DISK_MIB), lie)
    monkeypatch.setattr(mix, "Mixed", with_real_disk)
    monkeypatch.setattr(mix, "pattern", lambda mib: changed)
    cell = mix.run("2012", "2012")
    assert cell.disk.broke == "the bytes of sectors 0 to 7 are not the disk's" and cell.verdict == BREAKS


def test_names_that_there_are_not():
    for call, said in ((lambda: mix.run("1985", "2012"), "guest '1985': choose one of 1995, 2000"),
                       (lambda: mix.run("1995", "2030"), "host '2030': choose one of emulator, 2012"),
                       (lambda: mix.run("1995", "2012", "smile"), "lie 'smile': choose one of none, connection")):
        with pytest.raises(ValueError, match=said):
            call()


def test_a_cell_that_ends_in_an_error_stops_no_other(monkeypatch):
    real = mix.Mixed

    def bad_for_one(kind, *others):
        if kind.name == "1995":
            raise ZeroDivisionError("a bug of ours")
        return real(kind, *others)
    monkeypatch.setattr(mix, "Mixed", bad_for_one)
    monkeypatch.setattr(mix, "KEPT", {})
    monkeypatch.setattr(mix.many, "cores", lambda: 1)           # here, where it is patched
    found = mix.sweep(["1995", "2013 gen 2"], ["2012"], ["none"])
    assert [cell.verdict for cell in found] == [BREAKS, PASSES]
    assert found[0].reason == "the run ended with ZeroDivisionError: a bug of ours"
    with pytest.raises(ValueError, match="guest '1985'"):
        mix.matrix(["1985"], ["2012"])


def test_other_processes_count_the_same(monkeypatch):
    monkeypatch.setattr(mix, "KEPT", {})
    found = mix.sweep(["2012", "2000"], ["2012", "legacy gone"], ["none", "sections"])
    assert found == [mix.run(cell.guest, cell.host, cell.lie) for cell in found] and len(mix.KEPT) == len(found) == 8


def test_two_runs_are_equal():
    assert mix.run("2020 cloud", "2022") == mix.run("2020 cloud", "2022")
    assert [cell.host for cell in mix.matrix(["1995"], ["2012", "legacy gone"])] == ["2012", "legacy gone"]
