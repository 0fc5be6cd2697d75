from vmio import Simulation, VirtualSwitch
from vmio.lab import Wrong, attempted, seeded

OWN, OTHER, ROUTER = (bytes([0x52, 0x54, 0, 0, 0, last]) for last in (0x0A, 0x0B, 0x01))
GROUP, BROADCAST = bytes.fromhex("01005e000001"), b"\xff" * 6


class Station:
    """Keeps what it is given."""

    def __init__(self, port):
        self.seen = []
        port.connect(self)

    def receive(self, frame):
        self.seen.append(frame)
        return True

    def link_changed(self, up):
        pass


def cases():
    """(receiver, sender, may the guest use any address?)"""
    random = seeded(11)
    for any_address in (False, True):
        for sender in (OWN, OTHER, ROUTER, GROUP, BROADCAST):
            for receiver in (ROUTER, OTHER, BROADCAST, OWN):
                yield receiver, sender, any_address
        for _ in range(20):
            yield bytes(random.getrandbits(8) for _ in range(6)), bytes(random.getrandbits(8) for _ in range(6)), any_address


def switched(may_send, receiver, sender, any_address):
    """(what the answer said, frames that left the guest's port) with the answer at a port of a switch."""
    switch = VirtualSwitch(Simulation())
    port = switch.port("guest", OWN, spoofing=any_address)
    for name, address in (("other", OTHER), ("uplink", None)):
        Station(switch.port(name, address))
    Station(port)
    said = []
    port.may_send = lambda frame: said.append(may_send(frame, OWN, any_address)) or said[-1]
    port.send(receiver + sender + b"\x88\xb5" + bytes(46))
    return said[0], port.sent[0]


def check(may_send):
    for receiver, sender, any_address in cases():
        given = f"from {sender.hex(':')} to {receiver.hex(':')}, own {OWN.hex(':')}, any address {'allowed' if any_address else 'not allowed'}"
        said, sent = switched(may_send, receiver, sender, any_address)
        answer = attempted(said, given, bool, "True or False")
        right = not sender[0] & 1 and (any_address or sender == OWN)
        if answer != right or sent != right:
            raise Wrong(given, "the frame goes in" if right else "the frame is dropped", "it goes in" if answer else "it is dropped")
    return "Nobody sends in another's name."
