"""A booted machine on a host of the lab *Test the mix*: its devices, and what versions they speak; a lie is told where it belongs."""

import pytest

from vmio.boot import machine as pc
from vmio.boot.checkpoint import PARAMS
from vmio.boot.params import BootParams, checked
from vmio.experiments import mix_kinds as k
from vmio.experiments.mix_lies import LIES, LyingBus
from vmio.experiments.pattern import pattern
from vmio.vmbus.bus import messages as m
from vmio.vmbus.storage import vstor as v


def planned(**params):
    return pc.planned(checked(BootParams(memory=32, **params)), pattern(1) if params.get("modes") else None, lambda byte: None)


@pytest.mark.parametrize("name", ["2012", "2016", "2022", "legacy gone"])
def test_its_parts_speak_what_the_host_speaks(name):
    host = k.host(name)
    modes = tuple(mode for mode, device in (("split", k.SCSI), ("vpci", k.NVME)) if device in host.devices)
    guest = planned(modes=modes, net="split", host=name)
    assert guest.platform.bus.versions == host.bus
    parts = dict(zip((*modes, "net"), guest.attachments[1:]))
    assert parts["split"].vsp.versions == host.storage and parts["net"].vsp.versions == host.network
    assert "vpci" not in parts or parts["vpci"].lent.vsp.versions == host.pci


def test_without_a_host_all_is_spoken():
    guest = planned(modes=("split", "vpci"), net="split")
    disk, function, card = guest.attachments[1:]
    assert guest.platform.bus.versions == m.LINUX_VERSIONS and v.WIN6 in disk.vsp.versions
    assert (len(function.lent.vsp.versions), len(card.vsp.versions)) == (4, 6)


def test_lies_are_told_where_they_belong():
    assert tuple(one.name for one in LIES) == k.LIE_NAMES
    guest = planned(modes=("split",), net="split", lie="capacity")
    disk = guest.attachments[1]
    assert disk.vsp.disks[0][0].sectors == 2 * disk.backend.sectors and type(guest.platform.bus) is not LyingBus
    assert type(planned(modes=("split",), lie="connection").platform.bus) is LyingBus
    honest, lying = planned(modes=("split",), net="split"), planned(modes=("split",), net="split", lie="sections")
    assert type(lying.attachments[1]) is type(honest.attachments[1]) and type(lying.attachments[2]) is not type(honest.attachments[2])
    assert type(planned(modes=("split",), lie="version").attachments[1]) is not type(honest.attachments[1])


@pytest.mark.parametrize("params, why", [
    (dict(host="2030"), "^host '2030': choose one of emulator, 2012, 2016, 2022, legacy gone$"), (dict(lie="smile"), "^lie 'smile': choose one of none, connection"),
    (dict(host="emulator"), "^host emulator: is no hypervisor to its guests; needs platform pc$"),
    (dict(host="emulator", platform="pc", modes=("emulated",)), "^host emulator: its IDE disk has no DMA; --pio$"),
    (dict(host="legacy gone", modes=("emulated",)), "^mode emulated: host legacy gone offers no such device; it has split, vpci$"),
    (dict(host="2012", modes=("vpci",)), "^mode vpci: host 2012 offers no such device; it has emulated, split$"),
    (dict(host="2022", modes=("all",)), "^mode nvme: host 2022 offers no such device; it has emulated, split, vpci$"),
    (dict(host="legacy gone", net="emulated"), "^net emulated: host legacy gone offers no such device; it has split$"),
    (dict(host="2022", modes=("split",), dialect="virtio"), "^dialect virtio: no host of that lab offers such a disk"),
    (dict(lie="version", platform="pc"), "^lie version: needs platform hyper-v, of whose bus and devices it is; not pc$")])
def test_hosts_that_cant_be(params, why):
    with pytest.raises(ValueError, match=why):
        checked(BootParams(**params))


def test_a_kept_machine_has_its_host_and_its_lie():
    assert {"host", "lie"} <= set(PARAMS.entries) and PARAMS.version == 2
