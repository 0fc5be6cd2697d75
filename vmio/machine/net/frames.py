"""Ethernet frames and addresses: sizes, and what is allowed.

Source: IEEE 802.3-2022, 3.1.1 "Packet format", 3.2.3 "Address fields", 4.4.2 (sizes);
802.1Q-2022, 9.6 (a tag makes a frame four bytes longer).
"""

ADDRESS = 6
HEADER = 14            # destination, source, type
MIN, MAX = 60, 1514    # without the four bytes of FCS; a tagged frame has TAG bytes more
TAG = 4
TAGGED = (b"\x81\x00", b"\x88\xa8")
FCS = 4
BROADCAST = b"\xff" * ADDRESS
GAP_BYTES = 20         # what a frame takes on the wire beside its bytes and FCS: preamble and start 8, gap 12


def parse_address(text: str) -> bytes:
    """Return the six bytes of "52:54:00:12:34:56" (or with "-").  ValueError for what is none."""
    parts = text.replace("-", ":").split(":")
    if len(parts) != ADDRESS or any(len(part) not in (1, 2) or not set(part) <= set("0123456789abcdefABCDEF") for part in parts):
        raise ValueError(f"address {text!r}: six bytes in hexadecimal, as in 52:54:00:12:34:56")
    return bytes(int(part, 16) for part in parts)


def show_address(address: bytes) -> str:
    """Return an address as text."""
    return address.hex(":")


def station_address(address: bytes) -> bytes:
    """Return `address` if a card may have it; ValueError for a group's (bit 0 of its first byte), all zeros, or another length."""
    if len(address) != ADDRESS:
        raise ValueError(f"address {address.hex(':') or '(empty)'}: {len(address)} bytes; a card's has {ADDRESS}")
    if is_group(address):
        raise ValueError(f"address {show_address(address)}: a group's (bit 0 of the first byte is set); a card has one of its own")
    if not any(address):
        raise ValueError(f"address {show_address(address)}: all zeros; a card has one of its own")
    return address


def all_different(addresses: list[bytes]) -> None:
    """Raise ValueError if two cards of one network have the same address."""
    for n, address in enumerate(addresses):
        if address in addresses[:n]:
            raise ValueError(f"address {show_address(address)}: two cards have it; each needs its own")


def is_group(address: bytes) -> bool:
    """Return whether an address (or a frame, which begins with one) is for several stations: multicast or broadcast."""
    return bool(address[0] & 1)


def longest(frame: bytes) -> int:
    """Return how many bytes a frame like this one may have: four more when it is tagged."""
    return MAX + TAG if frame[2 * ADDRESS:HEADER] in TAGGED else MAX


def check(frame: bytes, what: str = "frame") -> None:
    """Raise ValueError, with `what` before it, for fewer bytes than a header, or more than a network takes."""
    if len(frame) < HEADER:
        raise ValueError(f"{what}: a runt of {len(frame)} bytes; a header alone has {HEADER}")
    if len(frame) > longest(frame):
        raise ValueError(f"{what}: a jumbo of {len(frame):,} bytes; at most {longest(frame):,} without FCS")


def padded(frame: bytes) -> bytes:
    """Return the frame as it is on the wire: zeros up to the shortest length that is allowed."""
    return frame if len(frame) >= MIN else frame + bytes(MIN - len(frame))


def wire_ns(frame_bytes: int, mbit_per_s: int) -> int:
    """Return how long a frame of so many bytes (without FCS) has the wire, its gap included, in ns."""
    return (max(frame_bytes, MIN) + FCS + GAP_BYTES) * 8000 // mbit_per_s
