"""A guest with a network card, and a station at the other end of its cable."""

from vmio.machine.net.cable import Cable
from vmio.modes import Machine, attachment

US, PEER = bytes.fromhex("525400123456"), bytes.fromhex("525400abcdef")
GROUP, BROADCAST = bytes.fromhex("01005e000001"), b"\xff" * 6


def frame(to=US, source=PEER, length=100, seed=0, kind=b"\x08\x00"):
    """A frame of so many bytes that is like no other seed's."""
    return to + source + kind + bytes((seed * 31 + n * 7) & 0xFF for n in range(length - 14))


class Station:
    """Keeps what it hears; `say(frame, at)` sends at a time of the guest's clock."""

    def __init__(self, clock, end):
        self.clock, self.end, self.heard, self.lost = clock, end, [], 0
        end.connect(self)

    def receive(self, data):
        self.heard.append(data)
        return True

    def link_changed(self, up):
        pass

    def say(self, *frames, after=10_000, gap=10_000):
        """Send them, the first after so many ns, the others so far apart."""
        for n, data in enumerate(frames):
            self.clock.call_later(after + n * gap, lambda data=data: self._send(data))

    def _send(self, data):
        self.lost += not self.end.send(data)


class NetRig:
    """`run(program)` lets `program(cpu, driver)` run once the card is up."""

    def __init__(self, mode="emulated", checkpoints=False, **options):
        self.cable = Cable()
        self.machine = Machine(checkpoints=checkpoints)
        self.guest = self.machine.guest("guest").attach(attachment("net", mode, address=US, **options), backend=self.cable.ends[0])
        self.machine.power_on()
        self.station = Station(self.guest.guest.clock, self.cable.ends[1])

    @property
    def card(self):
        """The emulated chip."""
        return self.guest.attachments[0].card

    def run(self, program):
        return self.guest.run(program)
