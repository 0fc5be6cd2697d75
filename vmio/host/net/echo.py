"""A station that answers: who has this address (ARP), and are you there (ICMP echo)?  What a guest's ping needs, and no more.

Source: RFC 826 (ARP), RFC 792 (echo and echo reply).
"""

from vmio.machine.net import frames, headers
from vmio.machine.net.checksums import fill_ip, total
from vmio.machine.net.contracts import NetPort
from vmio.machine.net.headers import ARP, ICMP, IPV4, IS_ARP, IS_ICMP

REQUEST, REPLY = 1, 2
ECHO, ECHO_REPLY = 8, 0


class Echo:
    """Plugged into `port`, with a MAC address and an IPv4 address of four bytes; `heard` counts frames, `answered` what they were."""

    def __init__(self, port: NetPort, address: bytes, ip: bytes) -> None:
        self.port, self.address, self.ip = port, frames.station_address(address), ip
        self.heard = 0
        self.answered = {"arp": 0, "echo": 0}
        port.connect(self)

    def receive(self, frame: bytes) -> bool:
        """See `Station`: an answer goes out at once."""
        self.heard += 1
        kind, answer = self._answer(frame)
        if answer is not None:
            self.answered[kind] += 1
            self.port.send(frames.padded(answer))
        return True

    def link_changed(self, up: bool) -> None:
        """See `Station`: it answers while there is a link."""

    def _answer(self, frame: bytes) -> tuple[str, bytes | None]:
        found = headers.parse(frame)
        sender, at = frame[6:12], frames.HEADER
        if found.type == IS_ARP and len(frame) >= at + ARP.size:
            asked = ARP.parse(frame, at)
            if asked.operation != REQUEST or asked.target_ip != self.ip:
                return "arp", None
            told = ARP.pack(operation=REPLY, sender=self.address, sender_ip=self.ip, target=asked.sender, target_ip=asked.sender_ip)
            return "arp", sender + self.address + frame[12:14] + told
        if (found.protocol != IS_ICMP or found.ip is None or found.transport is None or found.destination != self.ip or found.fragment
                or frame[:6] != self.address):
            return "echo", None
        packet = frame[found.ip:found.ip + IPV4.parse(frame, found.ip).length]
        echo = packet[found.transport - found.ip:]
        if len(echo) < ICMP.size or echo[0] != ECHO:
            return "echo", None
        body = bytes((ECHO_REPLY, 0, 0, 0)) + echo[4:]
        body = body[:2] + (0xFFFF - total(body)).to_bytes(2, "big") + body[4:]
        head = IPV4.pack(length=IPV4.size + len(body), protocol=IS_ICMP, source=self.ip, destination=found.source)
        whole = sender + self.address + frame[12:14] + head + body
        return "echo", fill_ip(whole, headers.parse(whole))
