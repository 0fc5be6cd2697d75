"""What *Test the mix* counts in its text."""

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments import mix, mix_kinds as kinds
from vmio.lessons.boot_a_real_linux import recorded
from vmio.lessons.test_the_mix import panel as mixed


def test_mix_what_the_text_says():
    cells = mix.matrix()
    assert len(mixed.cells()) == 45 and len(cells) == 40 and len(kinds.GUESTS) == 8 and len(kinds.HOSTS) == 5 and len(mix.ALL_LIES) == 1 + 5
    assert (mix.cell("2020 cloud", "2012").disk.setup_exits, mix.cell("2012", "2012").disk.setup_exits) == (80, 62)
    assert {cell.guest for cell in cells if cell.verdict == "breaks"} == {"2000"}
    reads = {cell.disk.driver: cell.disk.exits for cell in cells if cell.disk.worked()}
    assert {driver: reads[driver] for driver in ("IDE, PIO", "IDE, DMA", "StorVSC", "NVMe")} == {"IDE, PIO": 1065, "IDE, DMA": 20, "StorVSC": 2, "NVMe": 1}
    pio = [row for row in recorded.of("PIO").reading("emulated").rows if row.instruction == "REP INS"]
    assert {row.moved // row.count for row in pio} == {128}
    assert [row.count for row in recorded.of("disks").reading("split").rows if row.instruction == "CPUID"] == [29]
    isolated = [mix.cell("isolated", "2022", lie).verdict for lie in mix.ALL_LIES]
    assert isolated == ["passes", "refused", "refused", "refused", "breaks", "refused"]
    assert [mix.cell(guest, "2022", "connection").verdict for guest in ("2012", "2013 gen 2", "2020 cloud")] == ["passes", "passes", "refused"]
    assert kinds.host("2012").network == (0x40000, 0x30002, 2), "4, 2 and 1"


def test_mix_where_virtio_is_served():
    lines = mixed.kvm_table().splitlines()
    said = {guest: next(line for line in lines if line.startswith(guest)) for guest in mix.ALL_GUESTS}
    verdicts = {guest: next(word for word in ("passes", "falls back", "refused", "breaks") if word in line) for guest, line in said.items()}
    assert verdicts == {"1995": "passes", "2000": "passes", "2008": "falls back", "2012": "falls back", "2013 gen 2": "refused", "2020 cloud": "refused",
                        "isolated": "refused", "virtio": "passes"}, "three others have nothing to fall back on"
    assert said["virtio"].split()[-3:] == ["2", "2", "-"]
    rows = [[mix.cell(guest, host).verdict for host in mix.ALL_HOSTS] + [verdicts[guest]] for guest in mix.ALL_GUESTS]
    assert all("refused" in row or "breaks" in row for row in rows), "no guest runs on every host"


def test_mix_linux_does_here_what_it_does_on_qemu():
    lines = [line.split() for line in mixed.linux_table().splitlines()[3:]]
    quoted = {" ".join(line[:2]): line[-2:] for line in lines if line[-1] != "-"}
    assert quoted == {"IDE, PIO": ["1,043", "1,043"], "IDE, DMA": ["26", "26"], "NVMe, emulated": ["2", "2"]}
