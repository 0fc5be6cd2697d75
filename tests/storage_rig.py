"""What tests of StorVSP need: a medium that answers when it is told to, and both ends of a channel in one thread."""

from vmio.experiments.disk import pattern
from vmio.machine.memory import PAGE
from vmio.machine.overlay import Overlay
from vmio.machine.storage import SECTOR
from vmio.modes import Machine
from vmio.vmbus.bus.channel import ChannelEnd
from vmio.vmbus.bus.ring import RingReader, RingWriter, format_ring
from vmio.vmbus.bus.ringmemory import FlatMemory
from vmio.vmbus.storage import vstor as v
from vmio.vmbus.storage.scsi import ScsiTarget
from vmio.vmbus.storage.storvsp import StorVsp


class Backend:
    """Moves the data at once and says so after `ns`, or, with `hold`, when `release` is called."""

    def __init__(self, host, image, ns=10_000, hold=False):
        self.host, self.image, self.ns, self.hold = host, image, ns, hold
        self.log, self.held, self.status = [], [], 0

    def submit(self, guest, op, lba, sectors, pages, done):
        self.log.append((guest, op, lba, sectors, list(pages)))
        if self.hold:
            self.held.append((op, lba, sectors, pages, done))
        else:
            self.host.env.timeout(self.ns).callbacks.append(lambda _: self._finish(op, lba, sectors, pages, done))

    def release(self, number=0):
        """Let the request with this number, of those that are held, come back."""
        self._finish(*self.held.pop(number))

    def _finish(self, op, lba, sectors, pages, done):
        memory, at, data = self.host.memory, 0, bytearray()
        if op in ("read", "write") and not self.status:
            content = self.image.read(lba, sectors)
            for spa in pages:
                step = min(PAGE - (spa & 0xFFF), sectors * SECTOR - at)
                if op == "read":
                    memory.write(spa, content[at:at + step])
                else:
                    data += memory.read(spa, step)
                at += step
            if op == "write":
                self.image.write(lba, bytes(data))
        done(self.status)


class Rig:
    """A StorVSP over rings in buffers of their own; `end` is the guest's."""

    def __init__(self, image=None, pages=16, hold=False, ram_mib=4, **options):
        self.host = Machine(memory_mib=16).host
        self.guest = self.host.guest(ram_mib=ram_mib)
        self.neighbour = self.host.guest(ram_mib=ram_mib)
        self.image = image or Overlay(pattern(1))     # of its own: the pattern is everybody's
        self.backend = Backend(self.host, self.image, hold=hold)
        self.target = ScsiTarget(self.image.sectors)
        self.vsp = StorVsp(self.host, self.guest, {0: (self.target, self.backend)}, **options)
        self.vsp.channel = self
        self.errors, self.interrupts, self.drained = [], 0, None
        self.open(pages)

    def open(self, pages=16):
        out, back = FlatMemory(pages), FlatMemory(pages)
        format_ring(out), format_ring(back)
        self.out, self.back = out, back
        self.end = ChannelEnd(RingWriter(out), RingReader(back), self._signal)
        self.host_end = ChannelEnd(RingWriter(back), RingReader(out), self._interrupt)
        self.vsp.opened(self.host_end)

    def fail(self, error):
        """What the bus does with a channel that has failed."""
        self.errors.append(error)
        self.drained = self.vsp.closed()

    def _signal(self):
        self.host_end.interrupted()

    def _interrupt(self):
        self.interrupts += 1

    def run(self):
        """Until nothing happens any more; returns the packets that have come."""
        self.host.env.run()
        return list(self.end.packets())

    def ask(self, payload, number=v.INIT_ID, ranges=()):
        """One request and its answer's payload."""
        self.end.send(payload, number, want_completion=True, ranges=ranges)
        packet, = self.run()
        assert packet.transaction_id == number and packet.kind == 0xB
        return packet.payload

    def control(self, operation, **fields):
        """One step of the protocol; (status, payload)."""
        layout = {v.QUERY_PROTOCOL_VERSION: v.VERSION, v.CREATE_SUB_CHANNELS: v.SUBCHANNELS}.get(operation, v.PACKET)
        answer = self.ask(layout.pack(operation=operation, flags=1, **fields))
        head = v.PACKET.parse(answer)
        assert (head.operation, head.flags) == (v.COMPLETE_IO, 0)
        return head.status, answer

    def ready(self, version=v.WIN8_1):
        for operation, fields in ((v.BEGIN_INITIALIZATION, {}), (v.QUERY_PROTOCOL_VERSION, {"version": version}),
                                  (v.QUERY_PROPERTIES, {}), (v.END_INITIALIZATION, {})):
            assert self.control(operation, **fields)[0] == 0
        return self

    def srb(self, cdb, length=0, direction=None, ranges=None, gpa=0x10000, number=7, **fields):
        """One SCSI request; the parsed answer."""
        payload, ranges = srb(cdb, length, direction, ranges, gpa, **fields)
        return v.SRB.parse(self.ask(payload, number, ranges))


def srb(cdb, length=0, direction=None, ranges=None, gpa=0x10000, **fields):
    """(payload, ranges) of a SCSI request."""
    cdb = bytes.fromhex(cdb) if isinstance(cdb, str) else cdb
    if direction is None:
        direction = v.TO_GUEST if length else v.NO_DATA
    if ranges is None:
        pages = tuple(range(gpa >> 12, gpa + length + 0xFFF >> 12))
        ranges = ((length, gpa & 0xFFF, pages),) if length else ()
    values = {"operation": v.EXECUTE_SRB, "flags": 1, "cdb": cdb, "cdb_length": len(cdb), "direction": direction,
              "transfer_length": length, **fields}
    return v.SRB.pack(**values), ranges


def read10(lba, sectors):
    """READ(10)."""
    return bytes((0x28, 0)) + lba.to_bytes(4, "big") + b"\0" + sectors.to_bytes(2, "big") + b"\0"


def write10(lba, sectors, fua=False):
    """WRITE(10)."""
    return bytes((0x2A, 8 if fua else 0)) + lba.to_bytes(4, "big") + b"\0" + sectors.to_bytes(2, "big") + b"\0"
