"""A panel's controls agree with where their parameters are declared."""

import importlib
import inspect
from dataclasses import dataclass

import pytest

pytest.importorskip("ipywidgets")

from vmio.experiments.accelerator import AcceleratorParams
from vmio.experiments.cloud_params import CloudParams
from vmio.experiments.containers.density_result import DensityParams
from vmio.experiments.device_story import DevicesParams
from vmio.experiments.disk import DiskParams
from vmio.experiments.instructions import InstructionParams
from vmio.experiments.iotlb import IotlbParams
from vmio.experiments.late_writes import LateWritesParams
from vmio.experiments.net_params import NetParams
from vmio.experiments.params import default, param, specs
from vmio.experiments.queueload import QueueParams
from vmio.experiments.ringload import LoadParams
from vmio.experiments.secrets import SecretsParams
from vmio.experiments.tampering_way import Protections
from vmio.experiments.views.result import ViewsParams
from vmio.experiments.scan import ScanParams
from vmio.experiments.serial import SerialParams
from vmio.experiments.serving_params import ServingParams
from vmio.experiments.sharing import SharedGuest
from vmio.lab.declared import declared
from vmio.lab.panel import Panel
from vmio.lessons.course import COURSE
from vmio.manage.memory_run import MemoryParams
from vmio.manage.migration.params import MigrateParams
from vmio.manage.steer.loop import SteerParams

MIB = 1 << 20
# panel -> (where its parameters are declared, those that are the lesson's own)
PANELS = {
    "start_here.panel": (DiskParams, set()),
    "trap_an_instruction.panel": (InstructionParams, set()),
    "emulate_a_device.uart_panel": (SerialParams, set()),
    "emulate_a_device.disk_panel": (DiskParams, {"sectors", "move", "interrupts"}),
    "split_a_driver.panel": (DiskParams, set()),
    "fill_a_ring.ring_panel": (LoadParams, {"script"}),
    "fill_a_ring.load_panel": (LoadParams, set()),
    "fill_a_ring.disk_panel": (DiskParams, set()),
    "fill_a_ring.channels_panel": (DiskParams, {"channels"}),
    "pass_a_device_through.modes_panel": (DiskParams, {"interrupts"}),
    "pass_a_device_through.iotlb_panel": (IotlbParams, set()),
    "pass_a_device_through.late_panel": (LateWritesParams, set()),
    "compare_modes.panel": (DiskParams, {"workload", "transfer", "reads"}),
    "compare_modes.break_even_panel": (DiskParams, {"against", "transfer"}),
    "break_isolation.panel": (DiskParams, {"id", "without"}),
    "break_isolation.reach_panel": (DiskParams, {"without", "place"}),
    "break_isolation.fetches_panel": (DiskParams, {"copy_first"}),
    "share_a_device.panel": (SharedGuest, {"policy", "quiet"}),
    "share_a_device.live_panel": (SharedGuest, {"policy"}),
    "boot_a_real_linux.panel": (None, {"boot", "step"}),                                # a recorded boot: nothing to declare
    "move_packets.panel": (NetParams, {"traffic"}),
    "move_packets.bursts_panel": (NetParams, {"burst"}),
    "move_packets.moderation_panel": (NetParams, set()),
    "move_packets.switch_panel": (None, {"steps", "any_address", "own_vlan", "mirror"}),        # a story that is told
    "accelerate.panel": (AcceleratorParams, set()),
    "grow_and_shrink.panel": (MemoryParams, {"second"}),
    "grow_and_shrink.devices_panel": (DevicesParams, {"until_us"}),
    "scan_in_parallel.panel": (ScanParams, {"answer"}),
    "scan_in_parallel.changes_panel": (ScanParams, {"what", "later", "when"}),
    "scan_in_parallel.rules_panel": (None, {"rule", "delay"}),                            # rules are functions
    "watch_and_steer.panel": (None, {"case", "output", "window", "answer"}),             # what is looked at of runs that a seed decides
    "watch_and_steer.steer_panel": (SteerParams, {"target"}),
    "move_a_running_guest.panel": (MigrateParams, set()),
    "isolate_containers.panel": (DensityParams, set()),
    "keep_secrets.panel": (SecretsParams, set()),
    "keep_secrets.views_panel": (ViewsParams, {"place"}),
    "keep_secrets.changes_panel": (Protections, set()),
    "speak_virtio.panel": (QueueParams, set()),
    "store_in_a_cloud.panel": (CloudParams, {"moved", "burst_ms", "objective_us"}),
    "test_the_mix.panel": (None, {"guest", "on_host", "lie"}),                                # names of what is in two lists
    "serve_a_model.panel": (ServingParams, set()),
    "check_the_model.ratio_panel": (None, {"fitted"}),                                    # papers: figures that others published
    "run_on_real_hardware.panel": (InstructionParams, {"kind", "count", "costs"}),    # what was recorded on a real host
}
RENAMED = {"depth": "queue_depth", "kib": "request_bytes"}
FACTORS = {"kib": 1 << 10, "reservation": MIB, "cap": MIB}


def controls(name):
    """{name: Control} of a lesson's panel."""
    lesson, function = name.split(".")
    panel = getattr(importlib.import_module(f"vmio.lessons.{lesson}.panel"), function)()
    try:
        return dict(panel.controls), {each: widget.tooltip for each, widget in panel.widgets.items()}
    finally:
        panel.close()


def test_every_panel_is_named_here_but_those_of_a_students_own_code():
    found = {f"{lesson.name}.{name}" for lesson in COURSE.lessons
             for name, maker in vars(importlib.import_module(f"vmio.lessons.{lesson.name}.panel")).items()
             if (name == "panel" or name.endswith("_panel")) and not inspect.signature(maker).parameters}
    assert found == set(PANELS)


@pytest.mark.parametrize("name", PANELS)
def test_a_control_agrees_with_the_declaration(name):
    kind, own = PANELS[name]
    found, tooltips = controls(name)
    assert own <= set(found)
    for each, control in found.items():
        if each in own:
            continue
        field = each if each in specs(kind) else RENAMED.get(each, each)
        spec, factor = specs(kind)[field], FACTORS.get(each, 1)
        assert control.help.startswith(spec.help) and tooltips[each] == control.help
        for value in control.values:
            assert spec.admits(value * factor if factor > 1 else value) or value == 0 and spec.optional, (each, value)
        if not spec.choices and not isinstance(default(kind, field), bool) and control.kind != "choice":
            assert control.kind == ("log2" if spec.scale == "log2" else "slider")


@dataclass(frozen=True)
class Few:
    depth: int = param(4, "requests in flight", low=1, high=64, scale="log2")
    cores: int = param(2, "cores", low=1, high=8)
    words: int = param(6, "length", unit="words", low=2, high=10, multiple=2)
    way: str = param("b", "which way", choices=("a", "b"))
    fast: bool = param(True, "make haste")
    rate: int | None = param(None, "what it never exceeds", unit="bytes/s", low=1, high=100 * MIB, optional=True)
    free: int = param(1, "without an end", low=1)


def test_bounds_step_unit_and_help_come_from_the_declaration():
    depth, words = declared(Few, "depth", "Depth"), declared(Few, "words", "Words")
    assert (depth.kind, depth.values, depth.value, depth.help) == ("log2", (1, 2, 4, 8, 16, 32, 64), 4, "requests in flight")
    assert (words.kind, words.values, words.value, words.help) == ("slider", (2, 4, 6, 8, 10), 6, "length, words")
    way, fast = declared(Few, "way", "Way"), declared(Few, "fast", "Fast")
    assert (way.kind, way.values, way.value) == ("choice", ("a", "b"), "b")
    assert (fast.kind, fast.value, fast.help) == ("toggle", True, "make haste")
    rate = declared(Few, "rate", "MiB/s", 0, low=0, high=100, step=50, factor=MIB, none=0, name="mib")
    assert (rate.name, rate.values, rate.help) == ("mib", (0, 50, 100), "what it never exceeds")


@pytest.mark.parametrize("field, narrower, words", [
    ("depth", dict(high=128), "control depth: 128 is none of what depth may be, 1 to 64"),
    ("cores", dict(low=0), "control cores: 0 is none of what cores may be, 1 to 8"),
    ("words", dict(step=1), "control words: 3 is none of what words may be, 2 to 10, a multiple of 2"),
    ("way", dict(choices=("b", "c")), "control way: 'c' is none of what way may be, choose one of a, b"),
    ("rate", dict(value=1, high=200, factor=MIB), "control rate: 101 is none of what rate may be, 1 to 104,857,600"),
    ("free", dict(), "a control needs both ends of its range; declared: at least 1"),
])
def test_a_lesson_can_only_narrow(field, narrower, words):
    with pytest.raises(ValueError) as refused:
        declared(Few, field, "x", **narrower)
    assert str(refused.value) == words


def test_a_control_that_was_called_otherwise_says_its_name():
    panel = Panel(lambda pending_records: pending_records, [declared(LoadParams, "pending_records", "Pending", high=4)],
                  lambda result: (f"pending {result}", []))
    with pytest.raises(ValueError, match="^room is called pending_records now.$"):
        panel.set(room=0)
    assert panel.text == "room is called pending_records now."
    panel.set(pending_records=0)
    assert panel.text == "pending 0"
