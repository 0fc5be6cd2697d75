from vmio import Cable, Machine, attachment
from vmio.lab import Wrong, expect_at_most, meter, seeded

ENTRIES, BUFFER, DESCRIPTOR = 32, 2048, 16
GUEST, STATION = bytes.fromhex("525400123456"), bytes.fromhex("52550a000202")
PATIENCE_NS = 5_000_000


class Listener:
    """The other end of the cable."""

    def __init__(self, end):
        self.heard = []
        end.connect(self)

    def receive(self, frame):
        self.heard.append(frame)
        return True

    def link_changed(self, up):
        pass


def run(transmit, rounds):
    """[(frames on the wire, exits of the calls of `transmit`, what the whole cost), ...] of rounds (frames, how many before the driver waits).

    One card sends them all; it ends with the first round of which a frame never leaves.
    """
    machine, cable = Machine(), Cable()
    guest = machine.guest().attach(attachment("net", "emulated", address=GUEST), backend=cable.ends[0])
    machine.power_on()
    listener, found = Listener(cable.ends[1]), []

    def program(cpu, driver):
        for frames, together in rounds:
            listener.heard, whole, calls = [], meter(cpu), 0
            for at in range(0, len(frames), together):
                for frame in frames[at:at + together]:
                    entry, before = driver._next_tx % ENTRIES, cpu.exits.total
                    transmit(cpu, driver.tx_ring + entry * DESCRIPTOR, entry, driver._tx_buffers + entry * BUFFER, frame)
                    driver._next_tx += 1
                    calls += cpu.exits.total - before
                last = cpu.now + PATIENCE_NS
                while driver.pending and cpu.now < last:
                    yield from driver.wait(last)
                if driver.pending:
                    break
            found.append((listener.heard, calls, whole()))
            if driver.pending:
                return
    guest.run(program)
    return found


def some(number, seed):
    """So many frames of irregular lengths, none shorter than the shortest on a wire."""
    random = seeded(seed)
    return [STATION + GUEST + b"\x88\xb5" + bytes(random.getrandbits(8) for _ in range(random.randrange(46, 300))) for _ in range(number)]


def check(transmit):
    sizes = (1, 1), (5, 1), (70, 1), (64, 8)
    rounds = [(some(number, number), together) for number, together in sizes]
    for (frames, together), (heard, calls, _) in zip(rounds, run(transmit, rounds)):
        number = len(frames)
        given = f"{number} frame{'s' * (number > 1)}, {together} at a time"
        if not heard and not calls:
            raise NotImplementedError
        if heard != frames:
            at = next((n for n, (one, other) in enumerate(zip(heard, frames)) if one != other), len(heard))
            raise Wrong(given, f"{number} on the wire as they are", f"{len(heard)}, of which {at} are right" if at < len(heard) else
                        f"{len(heard)}: number {at + 1} never leaves")
        expect_at_most(calls, number, "exits", given=given)
    return "One write of CSR1 for each frame."


def cost(transmit, frames=32, together=8):
    """{frames} frames through the Tulip, {together} at a time"""
    (heard, _, counts), = run(transmit, [(some(frames, 9), together)])
    return {**counts, "frames on the wire": len(heard)}
