"""A network card on the door's board, and the other end of its cable: two commands that QEMU's protocol doesn't have.

`wire_rx 5254...` brings a frame to the card, `wire_tx` tells the first one that has left it and was not told yet.
QEMU has sockets for that (`-netdev dgram`).
"""

from collections import deque
from typing import Protocol

from vmio.devices.board import Board
from vmio.devices.net.tulip.pci import TulipFunction
from vmio.devices.net.tulip.tulip import Tulip
from vmio.machine.contracts import Memory
from vmio.machine.net import frames
from vmio.machine.net.cable import Cable
from vmio.machine.net.contracts import NetPort
from vmio.oracle.words import BadCommand, hexadecimal

ADDRESS = frames.parse_address("52:54:00:12:34:56")     # QEMU's first card has it
KEPT = 4096            # frames that wait for a client; what comes when they are there is lost


class Card(Protocol):
    """A network card that a cable can be plugged into."""

    def plug_in(self, port: NetPort, /) -> None:
        """Let the port carry its frames."""


class Wire:
    """The other station of a cable that `card` is plugged into, without a pace of its own."""

    def __init__(self, card: Card) -> None:
        cable = Cable()
        card.plug_in(cable.ends[0])
        self._end = cable.ends[1]
        self._end.connect(self)
        self._frames: deque[bytes] = deque()

    def receive(self, frame: bytes) -> bool:
        """A frame has left the card."""
        if len(self._frames) == KEPT:
            return False
        self._frames.append(frame)
        return True

    def link_changed(self, up: bool) -> None:
        """Nobody pulls this cable."""

    def bring(self, data: str) -> None:
        """`wire_rx DATA`: a frame arrives."""
        try:
            self._end.send(hexadecimal(data, "wire_rx"))
        except BadCommand:
            raise
        except ValueError as error:
            raise BadCommand(f"wire_rx: {error}") from None

    def fetch(self) -> str:
        """`wire_tx`: return the next frame that has left; 0x alone is none."""
        return "0x" + (self._frames.popleft().hex() if self._frames else "")


def with_tulip(board: Board, slot: int, memory: Memory | None) -> Wire:
    """Return the cable of a 21143, which is put into a slot; its DMA reaches `memory`."""
    tulip = Tulip(board.guest.clock, ADDRESS, chip="21143")
    board.plug(slot, TulipFunction(tulip), "tulip", memory)
    return Wire(tulip)
