"""What the panel of *Test the mix* must show: each cell from a run of its own, its exits counted one by one as they happen."""

import json
from functools import cache
from pathlib import Path
from unittest import mock

from vmio.experiments import mix, mix_kinds as k
from vmio.experiments.mix_lies import lie as lie_of
from vmio.experiments.mix_machine import Mixed
from vmio.machine.probes import watch

from tests.panel_rig import Truth, numbers

ROOT = Path(__file__).resolve().parents[1]
OF = {"disk": mix.READS, "network": mix.PINGS}


class Seen(Mixed):
    """Its guest's exits are counted from outside, between what the experiment does."""

    def __init__(self, *what):
        super().__init__(*what)
        self.exits = 0
        watch(self.guest.cpu.table, "exited", lambda one: setattr(self, "exits", self.exits + 1))
        Seen.last = self


@cache
def seen(guest, host, lie):
    """(the cell, {device: exits of one use}) of a run."""
    counted = {}
    since = mix._Since

    class Since(since):
        def __init__(self, cpu, devices):
            super().__init__(cpu, devices)
            self.seen = Seen.last.exits

        def each(self, times):
            what = "disk" if self.devices is mix.OF_A_DISK else "network"
            if self.cpu is Seen.last.guest.cpu:
                counted.setdefault(what, []).append((Seen.last.exits - self.seen) / times)
            return super().each(times)
    with mock.patch.object(mix, "Mixed", Seen), mock.patch.object(mix, "_Since", Since):
        cell = mix.meet(k.guest(guest), k.host(host), lie_of(lie))
    return cell, {what: sum(each) / len(each) for what, each in counted.items()}


def digits(text):
    return [value for value, _ in numbers(text)]


def real(on_host, lie):
    """The row of a real Linux, out of the recording itself."""
    cells = {one["host"]: one for one in json.loads((ROOT / "data" / "mix-linux.json").read_text())["cells"] if one["lie"] == lie}
    one = cells[on_host]

    def worked(device):
        return not device["tries"][-1]["refused"] and not device["broke"]
    words = [*digits("Linux 6.1"), *digits(on_host)]
    for device in (one["disk"], one["network"]):
        words += [device["exits"], device["interrupts"]] if worked(device) else []
    words.append(one["start_exits"])
    for said in one["asked"].values():
        words += [float(version) for version, _ in said]
    broken = [device["broke"] for device in (one["disk"], one["network"]) if device["broke"]]
    words += digits(broken[0] if broken else next((device["tries"][0]["refused"] for device in (one["network"], one["disk"]) if device["tries"][0]["refused"]), ""))
    shown = {there: found["disk"]["exits"] for there, found in cells.items() if worked(found["disk"])}
    return Truth(words, charts=[shown] if shown else [])


def panel(guest, on_host, lie):
    if guest == "Linux 6.1":
        return real(on_host, lie)
    cell, counted = seen(guest, on_host, lie)
    words = [*digits(guest), *digits(on_host)]
    for one in cell.devices:
        words += [counted[one.what], one.interrupts] if one.worked() else []
        words += [one.setup_exits]
    for name in ("VMBus", "vPCI", "storage", "network"):
        words += [float(version) for version, _ in cell.asked.get(name, ())]
    words += digits(cell.reason)
    row = {there: seen(guest, there, lie) for there in mix.ALL_HOSTS}
    shown = {there: exits["disk"] for there, (found, exits) in row.items() if found.disk.worked()}
    return Truth(words, charts=[shown] if shown else [])
