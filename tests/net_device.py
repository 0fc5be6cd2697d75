"""The network card of CONTRIBUTING's recipe, whole: the card, the guest's driver, and how the one gets into a guest with the other."""

from collections import deque

from vmio.machine.bus import BadAccess
from vmio.machine.checkpoint import Form, same
from vmio.machine.clock import NEVER
from vmio.machine.net import frames

BASE, DATA, SIZE, VECTOR = 0xE000_0000, 0, 4, 0x41
KEPT = 8                             # frames that wait in the card at most
CARD = Form("letter card", 1, "address", "writing", "waiting", "up")


class LetterCard:
    """A frame is written byte by byte at `DATA` and leaves with a store to `SIZE`; there the size of the next one that came is read."""

    def __init__(self, address):
        self.address, self.done = frames.station_address(address), lambda: None
        self.reset()

    def plug_in(self, port):
        self.port, self.up = port, port.up
        port.connect(self)

    def read(self, offset, size):
        if (offset, size) == (SIZE, 4):
            return len(self.waiting[0]) if self.waiting else 0
        if (offset, size) == (DATA, 1) and self.waiting:
            byte = self.waiting[0].pop(0)
            if not self.waiting[0]:
                self.waiting.popleft()
            return byte
        raise BadAccess(f"letter card: {size} bytes read at {offset:#x}")

    def write(self, offset, size, value):
        if (offset, size) == (DATA, 1) and len(self.writing) < frames.MAX:
            self.writing.append(value)
        elif (offset, size) == (SIZE, 4):
            frame, self.writing = bytes(self.writing), bytearray()
            if len(frame) >= frames.HEADER:         # a guest may ask for anything; the wire takes frames only
                self.port.send(frame)
        else:
            raise BadAccess(f"letter card: {size} bytes written at {offset:#x}")

    def reset(self):
        self.writing, self.waiting, self.up = bytearray(), deque(), False

    # The station.

    def receive(self, frame):
        if len(self.waiting) == KEPT:
            return False
        self.waiting.append(bytearray(frame))
        self.done()
        return True

    def link_changed(self, up):
        self.up = up

    def save(self):
        return CARD.state(address=self.address, writing=bytes(self.writing), waiting=[bytes(each) for each in self.waiting], up=self.up)

    def restore(self, state):
        saved = CARD.take(state)
        same("letter card, address", saved["address"], self.address)
        self.writing, self.up = bytearray(saved["writing"]), saved["up"]
        self.waiting = deque(bytearray(each) for each in saved["waiting"])


class LetterDriver:
    """A `NetDriver`: it sees a `cpu` and nothing else."""

    pending = 0                      # a frame has left when its last store is over

    def __init__(self, cpu, address):
        self.cpu, self.address, self._received = cpu, address, []
        cpu.on_interrupt(VECTOR, self._interrupt)

    def send(self, frame, more=False):
        for byte in frame:
            self.cpu.store(BASE + DATA, 1, byte)
        self.cpu.store(BASE + SIZE, 4, len(frame))
        return True

    def _interrupt(self, cpu):
        while (size := cpu.load(BASE + SIZE, 4)):
            self._received.append(bytes(cpu.load(BASE + DATA, 1) for _ in range(size)))
        cpu.wrmsr(0x80B, 0)          # end of interrupt

    def wait(self, until=NEVER):
        yield from self.cpu.pay()
        if not self._received and until > self.cpu.now:
            yield from self.cpu.hlt(None if until == NEVER else until - self.cpu.now)

    def reap(self):
        received, self._received = self._received, []
        return received


class LetterNet:
    """The attachment: ("net", "letters").  Its backend is the `NetPort` that the card is plugged into."""

    driver_memory = 1 << 20
    in_memory = False
    for_each_vcpu = False

    def __init__(self, address):
        self.card = LetterCard(address)

    @staticmethod
    def backends(host, media):
        return media

    def plug(self, platform, backend):
        guest = platform.guest
        self.card.done = lambda: guest.cpu.apic.request(VECTOR, by_host=True)
        guest.mmio.attach(BASE, 8, self.card, "letter card", width=4)
        self.card.plug_in(backend)

    def watch(self, served, copied):
        pass

    def timers(self):
        return []

    def save(self, saving):
        return self.card.save()

    def restore(self, state, restoring, platform):
        self.card.restore(state)

    def boot(self, cpu, pages):
        yield from cpu.pay()
        return LetterDriver(cpu, self.card.address)
