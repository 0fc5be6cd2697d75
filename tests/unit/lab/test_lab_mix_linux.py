"""The row of a real Linux in *Test the mix*, as it was recorded: what it negotiated is what the lists say, what it counts is what others have counted."""

import pytest

pytest.importorskip("ipywidgets")

from vmio import data
from vmio.experiments import mix_kinds as k
from vmio.experiments.mix_result import BREAKS, FALLS_BACK, PASSES, REFUSED
from vmio.hypervisor.costs import published
from vmio.lessons.test_the_mix import linux, linux_tables, panel as lesson, recorded
from vmio.vmbus.bus import messages as m
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.pci import vpci
from vmio.vmbus.storage import vstor as v

HOSTS = [one.name for one in k.HOSTS]


def test_each_host_and_each_lie_was_recorded_with_the_kernel_that_is_kept():
    assert [(one["host"], one["lie"]) for one in recorded.file()["cells"]] == [(host, lie) for host in HOSTS for lie in k.LIE_NAMES]
    for line in data.path("linux.csv").read_text().splitlines():
        if line.startswith(("vmlinuz,", "busybox,")):
            name, _, _, checksum = line.split(",")
            assert recorded.file()["of"]["files"][name] == checksum


def test_what_it_asked_is_what_the_lists_say():
    """Linux asks from its newest version down, until the host of the year agrees: an independent judge of what was recorded."""
    for host in k.HOSTS:
        asked = recorded.recorded(host.name).asked
        expected = {}
        for name, device, asks, spoken, text in (
                ("VMBus", k.SCSI, m.LINUX_VERSIONS, host.bus, m.version_text), ("vPCI", k.NVME, vpci.LINUX_VERSIONS, host.pci, m.version_text),
                ("storage", k.SCSI, v.LINUX_VERSIONS, host.storage, v.version_text), ("network", k.NIC, n.VERSIONS, host.network, n.version_text)):
            if device in host.devices:
                first = next(at for at, version in enumerate(asks) if version in spoken)
                expected[name] = tuple((text(version), at == first) for at, version in enumerate(asks[:first + 1]))
        assert asked == expected


def test_which_drivers_came_up_and_why_others_did_not():
    letters = {PASSES: "P", FALLS_BACK: "F", REFUSED: "R", BREAKS: "B"}
    rows = {lie: "".join(letters[recorded.recorded(host, lie).verdict] for host in HOSTS) for lie in k.LIE_NAMES}
    assert rows == {"none": "RFFPP", "connection": "RFFRR", "version": "RFFPP", "transfer size": "RFFPP", "capacity": "RBBPP", "sections": "RRRRR"}
    assert [recorded.recorded(host).disk.driver for host in HOSTS] == [k.IDE_EITHER, k.STORVSC, k.STORVSC, k.NVME_VPCI, k.NVME_VPCI]
    assert recorded.recorded("emulator").network.reason == "no driver for the network card 1011:0009 on PCI, and no other card"
    assert "invalid recv_section_size 1048576" in recorded.recorded("2016", "sections").network.reason
    assert recorded.recorded("2022", "connection").disk.tries[1].refused == "StorVSC: hv_vmbus: Unable to request offers - -11"
    lied = recorded.recorded("2016", "version").disk
    assert lied.driver == k.IDE_EITHER and lied.tries[1].refused == "StorVSC: hv_vmbus: probe failed for device SCSI (-22)"


def test_its_reads_cost_what_qemu_and_our_drivers_count():
    quoted = {row: float(published()[row]["value"]) for row in ("L01.1", "L01.2")}
    pio, dma = recorded.recorded("emulator").disk, recorded.recorded("2012", "version").disk
    assert (pio.at_device, dma.at_device) == (quoted["L01.1"], quoted["L01.2"])
    split, function = recorded.recorded("2012").disk, recorded.recorded("2022").disk
    assert round(split.exits) == lesson.cell("2012", "2012").disk.exits == 2
    assert round(function.exits) == lesson.cell("2020 cloud", "2022").disk.exits == 1
    assert [one.interrupts for one in (pio, dma, split, function)] == [1, 1, 1, 1]


def test_a_recording_is_read_as_it_was_written():
    plain = recorded.file()["cells"][0]
    from dataclasses import asdict
    import json
    assert json.loads(json.dumps(asdict(recorded.from_plain(plain)))) == plain


def test_the_panel_says_where_its_row_is_from(monkeypatch):
    panel = lesson.panel()
    panel.set(guest=linux.NAME, on_host="2012")
    assert "a real Linux, as it was recorded" in panel.text and "exits of its start: " in panel.text and "VMBus: 5.3 no" in panel.text
    assert panel.live.cells[-1] == [recorded.recorded(host).verdict for host in HOSTS] and panel.live.at == [8, 1]
    monkeypatch.setitem(recorded.LIVE, ("2012", "none"), recorded.from_plain(next(one for one in recorded.file()["cells"] if one["host"] == "2012")))
    panel.set(on_host="2016")
    panel.set(on_host="2012")
    assert "a real Linux, booted here" in panel.text


def test_where_linux_is_not_the_row_replays_and_says_so(monkeypatch):
    monkeypatch.setattr(linux_tables.live, "usable", lambda: (False, "nobody is at home"))
    assert lesson.where().startswith("RECORDED. No Linux can be booted here: nobody is at home.")
    said = lesson.boot_linux("2012", "emulator")
    assert said.splitlines()[0] == "As recorded; no Linux can be booted here: nobody is at home" and "falls back" in said and "refused" in said
    with pytest.raises(ValueError, match="nobody is at home"):
        linux.run(("2012", "none"))


def test_what_it_says_of_lies_is_more_than_it_says_to_an_honest_host():
    said = lesson.linux_lies("2016")
    lines = {name: next(line for line in said.splitlines() if line.startswith(name)) for name in k.LIE_NAMES[1:]}
    assert "NVMe" not in said and lines["connection"].rstrip().endswith("-") and "probe failed for device SCSI (-22)" in lines["transfer size"]
    assert "breaks" in lines["capacity"] and "sector 4,095" in lines["capacity"] and "invalid recv_section_size" in lines["sections"]
    assert recorded.recorded("legacy gone", "connection").disk.tries[2].refused.endswith("no disk at an ATA port")


def test_names_that_there_are_not():
    assert lesson.boot_linux().startswith("Name a host or several of emulator, 2012")
    with pytest.raises(ValueError, match="host '2030': choose one of emulator"):
        lesson.boot_linux("2030")
    with pytest.raises(ValueError, match="lie 'smile': choose one of none, connection"):
        recorded.cell("2012", "smile")
