"""Every arrow of a panel's drawing, every number of its charts and of its words is what a run of its own says, at every setting.

Settings: all values of a choice, both ends, default and a middle of a slider, each value beside each of every other control's.
What a panel must show is in tests/*_truths.py; no count there comes from the panel's code.
"""

from dataclasses import replace

import pytest

pytest.importorskip("ipywidgets")

from vmio.lab import charts
from vmio.lessons import panels
from vmio.lessons.break_isolation import panel as isolation
from vmio.lessons.compare_modes import panel as compare
from vmio.lessons.emulate_a_device import panel as emulate
from vmio.lessons.move_packets import panel as packets
from vmio.lessons.pass_a_device_through import panel as passthrough
from vmio.lessons.share_a_device import panel as share
from vmio.lessons.split_a_driver import panel as split
from vmio.lessons.start_here import panel as start

from tests import (accelerator_truths, cloud_truths, comparison_truths, containers_truths, device_truths, disk_truths, memory_truths,
                   migration_truths, mix_truths, net_truths, other_truths, scan_truths, secrets_truths, serving_truths, virtio_truths, watch_truths)
from tests.panel_rig import faults, settings

TRUTHS = {
    ("start_here.panel", "panel"): disk_truths.start_here,
    ("trap_an_instruction.panel", "panel"): other_truths.trap,
    ("emulate_a_device.panel", "uart_panel"): other_truths.uart,
    ("emulate_a_device.panel", "disk_panel"): disk_truths.emulated_disk,
    ("split_a_driver.panel", "panel"): disk_truths.split_disk,
    ("fill_a_ring.panel", "ring_panel"): other_truths.story,
    ("fill_a_ring.panel", "load_panel"): other_truths.load,
    ("fill_a_ring.panel", "disk_panel"): disk_truths.ring_of_a_disk,
    ("fill_a_ring.panel", "channels_panel"): disk_truths.channels,
    ("pass_a_device_through.panel", "modes_panel"): disk_truths.modes,
    ("pass_a_device_through.panel", "iotlb_panel"): other_truths.iotlb_panel,
    ("pass_a_device_through.panel", "late_panel"): other_truths.late,
    ("compare_modes.panel", "panel"): comparison_truths.modes,
    ("compare_modes.panel", "break_even_panel"): comparison_truths.break_even,
    ("check_the_model.panel", "ratio_panel"): comparison_truths.ratios,
    ("break_isolation.panel", "panel"): comparison_truths.attack,
    ("break_isolation.panel", "reach_panel"): comparison_truths.reach,
    ("break_isolation.panel", "fetches_panel"): comparison_truths.double_fetch,
    ("share_a_device.panel", "panel"): comparison_truths.noisy,
    ("share_a_device.panel", "live_panel"): comparison_truths.live,
    ("run_on_real_hardware.panel", "panel"): other_truths.kvm,
    ("boot_a_real_linux.panel", "panel"): other_truths.linux,
    ("move_packets.panel", "panel"): net_truths.capture,
    ("move_packets.panel", "bursts_panel"): net_truths.bursts,
    ("move_packets.panel", "moderation_panel"): net_truths.moderation,
    ("move_packets.panel", "switch_panel"): net_truths.switch,
    ("move_a_running_guest.panel", "panel"): migration_truths.panel,
    ("test_the_mix.panel", "panel"): mix_truths.panel,
    ("accelerate.panel", "panel"): accelerator_truths.panel,
    ("store_in_a_cloud.panel", "panel"): cloud_truths.panel,
    ("serve_a_model.panel", "panel"): serving_truths.panel,
    ("grow_and_shrink.panel", "panel"): memory_truths.shared,
    ("grow_and_shrink.panel", "devices_panel"): device_truths.panel,
    ("isolate_containers.panel", "panel"): containers_truths.panel,
    ("keep_secrets.panel", "panel"): secrets_truths.panel,
    ("keep_secrets.views", "views_panel"): secrets_truths.viewers,
    ("keep_secrets.changes", "changes_panel"): secrets_truths.changes,
    ("speak_virtio.panel", "panel"): virtio_truths.panel,
    ("watch_and_steer.panel", "panel"): watch_truths.cases,
    ("watch_and_steer.panel", "steer_panel"): watch_truths.steering,
    ("scan_in_parallel.panel", "panel"): scan_truths.workers,
    ("scan_in_parallel.panel", "changes_panel"): scan_truths.changed,
    ("scan_in_parallel.panel", "rules_panel"): scan_truths.rules,
}
# Controls that meet only the defaults of the others: a sweep of three runs a step, attacks of half a second each, prices that change no count.
ALONE = {"break_even_panel": ("against", "transfer", "queue_depth", "iommu", "delivery", "costs"), "fetches_panel": ()}
ALONE_IN = {"break_isolation.panel": ("id",), **dict.fromkeys(
    ("trap_an_instruction.panel", "emulate_a_device.panel", "split_a_driver.panel", "pass_a_device_through.panel", "compare_modes.panel",
     "run_on_real_hardware.panel"), ("costs",))}


def looked_at(module, maker, few=False):
    """[(setting, what is wrong there), ...] of a panel."""
    compare._swept.clear()      # nothing is known from before
    panel, found = panels.make(module, maker), []
    alone = [name for name in ALONE.get(maker, ALONE_IN.get(module, ())) if name in panel.params]
    for at, chosen in enumerate(settings(panel, alone)):
        if "without" in chosen:
            chosen["without"] = ("nothing", "its defence", "the IOMMU", "its defence")[at % 4]      # without it there is more to see
        panel.set(**chosen)
        if maker == "break_even_panel":     # what is shown at once; the rest of the sweep comes the same way
            truth = TRUTHS[module, maker](**chosen, steps=panel.so_far[1][0]["series"][0]["x"])
        else:
            truth = TRUTHS[module, maker](**chosen)
        found += [(chosen, fault) for fault in faults(panel, truth, so_far=maker == "break_even_panel")]
        if few and found:
            break
    panel.close()
    return found


def test_no_panel_is_forgotten():
    assert set(TRUTHS) == set(panels.PANELS)


@pytest.mark.parametrize("module, maker", TRUTHS)
def test_all_that_a_panel_shows_was_counted(module, maker):
    found = looked_at(module, maker)
    assert not found, f"{len(found)} faults: {found[:3]}"


def test_the_whole_sweep_is_counted_too():
    panel = panels.make("compare_modes.panel", "break_even_panel")
    steps = panel.charts[0]["series"][0]["x"]
    assert len(steps) == 10
    assert faults(panel, comparison_truths.break_even(**panel.params, steps=steps)) == []


def _result(lesson, name, change):
    """A fault in what the model of a panel hands on: `change(result)` gives the fields that are wrong."""
    def plant(monkeypatch):
        whole = getattr(lesson, name)

        def wrong(*args, **options):
            result = whole(*args, **options)
            return Wrong(result, change(result))
        monkeypatch.setattr(lesson, name, wrong)
    return plant


class Wrong:
    """A result some of whose fields are others."""

    def __init__(self, result, fields):
        self.__dict__.update(_result=result, **fields)

    def __getattr__(self, name):
        return getattr(self._result, name)


def _swapped(lesson, one, other):
    """Two arrows of a drawing have each other's counts."""
    def plant(monkeypatch):
        view = lesson._edges

        def edges(result):
            whole = view(result)
            counts = {(edge["source"], edge["target"]): edge["count"] for edge in whole}
            counts[one], counts[other] = counts[other], counts[one]
            return [{**edge, "count": counts[edge["source"], edge["target"]]} for edge in whole]
        monkeypatch.setattr(lesson, "_edges", edges)
    return plant


def _chart(kind, change):
    def plant(monkeypatch):
        whole = getattr(charts, kind)
        monkeypatch.setattr(charts, kind, lambda *args, **options: change(whole(*args, **options)))
    return plant


def _means_of_all(monkeypatch):
    whole = share._mean_us
    monkeypatch.setattr(share, "_mean_us", lambda result, guests, buckets: whole(result, guests, slice(None)))


def _map(change):
    def plant(monkeypatch):
        whole = isolation.attack_map
        monkeypatch.setattr(isolation, "attack_map", lambda *args: change(whole(*args)))
    return plant


START, EMULATED, SPLIT, RING, PASSED, SHARED, ATTACKED = (
    ("start_here.panel", "panel"), ("emulate_a_device.panel", "disk_panel"), ("split_a_driver.panel", "panel"),
    ("fill_a_ring.panel", "disk_panel"), ("pass_a_device_through.panel", "modes_panel"), ("share_a_device.panel", "panel"), ("break_isolation.panel", "panel"))
CAPTURE, BURSTS = ("move_packets.panel", "panel"), ("move_packets.panel", "bursts_panel")
MUTANTS = {
    "signals are the frames": (CAPTURE, _result(packets, "run", lambda one: {"signals": one.packets})),
    "one frame too few came in": (CAPTURE, _result(packets, "run", lambda one: {"received_by_guest": one.received_by_guest - 1})),
    "frames out and in change places": (CAPTURE, _swapped(packets, ("host", "device"), ("device", "host"))),
    "a burst has another's exits": (BURSTS, lambda monkeypatch: monkeypatch.setattr(
        packets, "bursts", lambda *args, whole=packets.bursts: tuple(replace(one, exits=whole(*args)[0].exits) for one in whole(*args)))),
    "doorbells are the reads": (START, _result(start, "run", lambda one: {"doorbells": one.requests})),
    "interrupts are the reads": (START, _result(start, "run", lambda one: {"interrupts": one.requests})),
    "one command too few": (START, _result(start, "run", lambda one: {"commands": one.commands - 1})),
    "one exit too many": (START, _result(start, "run", lambda one: {"exits_total": one.exits_total + 1})),
    "a reason left out": (START, lambda monkeypatch: monkeypatch.setattr(start, "REASONS", start.REASONS[:2])),
    "two arrows swapped": (START, _swapped(start, ("hypervisor", "host"), ("guest", "hypervisor"))),
    "waiting left out": (START, _result(start, "run", lambda one: {"parts_us": {**one.parts_us, "waiting": 0}})),
    "an old ring": (START, _result(start, "run", lambda one: {"rings": {name: steps[:-1] for name, steps in one.rings.items()}})),
    "the sectors asked for": (EMULATED, lambda monkeypatch: monkeypatch.setattr(emulate, "SECTOR", 1024)),
    "a curve's last point": (EMULATED, _chart("lines", lambda one: {**one, "series": [
        {**line, "y": [*line["y"][:-1], line["y"][-1] * 1.01]} for line in one["series"]]})),
    "a bar's words": (EMULATED, _chart("bars", lambda one: {**one, "bars": [{**bar, "text": bar["text"] + "0"} for bar in one["bars"]]})),
    "signals are the requests": (SPLIT, _result(split, "run", lambda one: {"signals": one.ring_requests})),
    "a ring's request more": (SPLIT, _result(split, "run", lambda one: {"ring_requests": one.ring_requests + 1})),
    "device and exit swapped": (RING, _chart("stack", lambda one: {**one, "parts": [one["parts"][n] for n in (0, 2, 1, 3)]})),
    "all exits to the worker": (PASSED, _result(passthrough, "run", lambda one: {"worker_exits": one.exits_total})),
    "the mean of all the time": (SHARED, _means_of_all),
    "a harmed place left out": (ATTACKED, _map(lambda one: {**one, "guests": [
        {**whose, "places": [{**place, "harmed": False} for place in whose["places"]]} for whose in one["guests"]]})),
    "requests answered on the map": (ATTACKED, _map(lambda one: {**one, "guests": [
        {**whose, "places": [{**place, "state": place["state"].replace("28 of", "27 of")} for place in whose["places"]]} for whose in one["guests"]]})),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_number_is_found(name, monkeypatch):
    (module, maker), plant = MUTANTS[name]
    plant(monkeypatch)
    assert looked_at(module, maker, few=True), name
