"""Every panel of the course, by the lesson's file and the function that makes it."""

from importlib import import_module

from vmio.lab.panel import Panel

PANELS = (
    ("start_here.panel", "panel"), ("trap_an_instruction.panel", "panel"), ("emulate_a_device.panel", "uart_panel"),
    ("emulate_a_device.panel", "disk_panel"), ("split_a_driver.panel", "panel"), ("fill_a_ring.panel", "ring_panel"),
    ("fill_a_ring.panel", "load_panel"), ("fill_a_ring.panel", "disk_panel"),
    ("fill_a_ring.panel", "channels_panel"), ("pass_a_device_through.panel", "modes_panel"),
    ("pass_a_device_through.panel", "iotlb_panel"), ("pass_a_device_through.panel", "late_panel"), ("compare_modes.panel", "panel"), ("compare_modes.panel", "break_even_panel"),
    ("break_isolation.panel", "panel"), ("break_isolation.panel", "reach_panel"),
    ("break_isolation.panel", "fetches_panel"), ("share_a_device.panel", "panel"),
    ("share_a_device.panel", "live_panel"), ("run_on_real_hardware.panel", "panel"), ("boot_a_real_linux.panel", "panel"),
    ("move_packets.panel", "panel"), ("move_packets.panel", "bursts_panel"), ("move_packets.panel", "moderation_panel"),
    ("move_packets.panel", "switch_panel"),
    ("speak_virtio.panel", "panel"), ("accelerate.panel", "panel"), ("grow_and_shrink.panel", "panel"), ("grow_and_shrink.panel", "devices_panel"), ("move_a_running_guest.panel", "panel"),
    ("isolate_containers.panel", "panel"), ("keep_secrets.panel", "panel"), ("keep_secrets.views", "views_panel"),
    ("keep_secrets.changes", "changes_panel"), ("watch_and_steer.panel", "panel"), ("watch_and_steer.panel", "steer_panel"), ("store_in_a_cloud.panel", "panel"),
    ("scan_in_parallel.panel", "panel"), ("scan_in_parallel.panel", "changes_panel"), ("scan_in_parallel.panel", "rules_panel"),
    ("test_the_mix.panel", "panel"), ("serve_a_model.panel", "panel"), ("check_the_model.panel", "ratio_panel"))


def make(module: str, maker: str) -> Panel:
    """Return a new panel, one of PANELS, as its lesson shows it."""
    return getattr(import_module(f"vmio.lessons.{module}"), maker)()
