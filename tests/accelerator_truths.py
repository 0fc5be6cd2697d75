"""What the panel of *Accelerate* must show: a run of other images, and the engine's time and the exits by closed forms."""

from vmio.drivers.accelerator_plan import Plan
from vmio.experiments import accelerator, digits
from vmio.experiments.accelerator import AcceleratorParams
from vmio.hardware.accelerator.registers import FETCH_NS, LANES, LINK_BYTES

from tests.panel_rig import Truth

ENTRIES, MOVED = 255, 1 << 15       # descriptors that go into the ring at once, bytes of each that moves
SIZES = 1, 64, 1024, 16_384


def engine(hidden, batch):
    """(us of a call's descriptors, how often the doorbell is rung)."""
    piece = Plan(digits.sized(hidden)).piece
    ns = descriptors = 0
    for first in range(0, batch, piece):
        some = min(piece, batch - first)
        moved = [min(MOVED, each * some - at) for each in (64, 40) for at in range(0, each * some, MOVED)]
        products = some * 64 * hidden, some * hidden * 10
        ns += sum(FETCH_NS + -(-length * 1000 // LINK_BYTES) for length in moved) + sum(FETCH_NS + -(-count // LANES) for count in products)
        descriptors += len(moved) + 2
    return ns / 1000, -(-descriptors // ENTRIES)


def run(mode, batch, hidden):
    return accelerator.run(AcceleratorParams(mode, batch=batch, count=batch, hidden=hidden), images=digits.load().images[64 * 7:])


def panel(mode, batch, hidden):
    sizes = sorted({*SIZES, batch})
    runs = {size: run(mode, size, hidden) for size in sizes}
    us = {size: one.each_ns[0] / 1000 for size, one in runs.items()}
    percent = {size: 100 * engine(hidden, size)[0] / us[size] for size in sizes}
    bare, rung = engine(hidden, batch)
    exits, each = rung * (1 if mode == "passthrough" else 2), 1 if mode == "passthrough" else 2
    exit_us = runs[batch].calls.exit_ns / 1000
    words = [batch, 64 * hidden + hidden * 10, each, exits, batch / exits, rung, us[batch], bare, percent[batch], len(sizes)]
    for bound in (90, 98):
        words += [bound, *[size for size in sizes if percent[size] >= bound][:1]]
    times = {("guest", "exit"): exit_us, ("guest", "device"): bare, ("guest", "waiting"): us[batch] - exit_us - bare,
             ("bare metal", "exit"): 0, ("bare metal", "device"): bare, ("bare metal", "waiting"): 0}
    return Truth(words, charts=[{mode: list(percent.items())}, times])
