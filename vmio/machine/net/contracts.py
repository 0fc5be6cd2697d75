"""A port and who is plugged into it: the one seam between a network card, of any mode, and what carries its frames.

A frame is plain bytes: destination, source, type or length, data; no preamble, no frame check sequence (FCS).
"""

from typing import Protocol


class Station(Protocol):
    """The card's side: an emulated chip, a virtual function, a NetVSP for its guest, or a generator of frames."""

    def receive(self, frame: bytes, /) -> bool:
        """Take a frame from the wire, at once; False: it is lost, because the station is stopped or has no place for it.

        A frame that the station's filter doesn't want is taken, and thrown away.
        """

    def link_changed(self, up: bool, /) -> None:
        """The link came up, or went down; called only when it has changed."""


class NetPort(Protocol):
    """The wire's side: an end of a cable, or a port of a switch.  One station is plugged in at a time."""

    @property
    def up(self) -> bool:
        """Whether there is a link."""

    def connect(self, station: Station | None, /) -> None:
        """What arrives goes to `station` from now on; None unplugs it.  ValueError: another one is plugged in."""

    def send(self, frame: bytes, /) -> bool:
        """Put a frame of the station's on the wire; False: it is lost, because there is no link or nobody takes it.

        ValueError for what is no frame (`frames.check`): a card pads and cuts before it sends.
        """
