"""RNDIS requests about the card: who is it, what can it do, which frames does the guest want?

Nothing is refused by force: what makes no sense has a status of its own, as NDIS miniports answer (Microsoft, "Remote NDIS
(RNDIS) specification"; OpenVMM vm/devices/net/netvsp/src/lib.rs has the values that are answered here).
"""

from collections.abc import Callable
from typing import Any

from vmio.machine.checkpoint import Form, State
from vmio.machine.contracts import Record
from vmio.machine.layout import Layout
from vmio.machine.net import frames
from vmio.vmbus.net import rndis as r
from vmio.vmbus.net.rndis import Oid, Rndis
from vmio.vmbus.net.rss import Scaling, parameters
from vmio.vmbus.net.transmit import MAX_LARGE

CONTROL = Form("RNDIS", 1, "initialized", "filter", "offloads", "scaling", "address")
MAX_TRANSFER = 1 << 17     # bytes of one record's messages
VENDOR = 0x155D            # Microsoft's, as OpenVMM says
NAME = "vmio network adapter"
RSS_FLAGS = 0x0300_0300    # hashes TCP over IPv4 and IPv6; signals by messages, and sorts at once
_ON = (r.BOTH_ON, r.RX_ON)
_Answer = tuple[int, bytes]


class Control:
    """The card as its requests see it: `address` is its own, `link` says whether there is one, `channels` how many may be scaled to."""

    def __init__(self, address: bytes, link: Callable[[], bool], max_channels: int, mbit_per_s: int) -> None:
        self.permanent, self.link, self.max_channels, self.mbit_per_s = address, link, max_channels, mbit_per_s
        self.begin()

    def begin(self) -> None:
        """Start anew, as an open channel does, or HALT."""
        self.initialized, self.filter, self.channels = False, 0, 1
        self.offloads: dict[str, int] = {}
        self.scaling = Scaling()
        self.address = self.permanent

    @property
    def checks(self) -> bool:
        """Whether the guest wants to be told of checksums."""
        return any(self.offloads.get(name) in _ON for name in ("ip4", "tcp4", "udp4", "tcp6", "udp6"))

    def wants(self, frame: bytes) -> bool:
        """Does the guest want this frame, by its filter?"""
        if self.filter & r.PROMISCUOUS:
            return True
        if not frames.is_group(frame):
            return bool(self.filter & r.DIRECTED) and frame[:6] in (self.permanent, self.address)
        if frame[:6] == frames.BROADCAST:
            return bool(self.filter & r.BROADCAST)
        return bool(self.filter & (r.MULTICAST | r.ALL_MULTICAST))

    def answer(self, message: bytes) -> bytes | None:
        """Return the answer to a request, or None if it has none."""
        kind = r.HEAD.parse(message).type
        known = self._REQUESTS.get(kind)
        if known is None or len(message) < known[0].size:
            return None
        if kind not in (Rndis.INITIALIZE, Rndis.HALT, Rndis.KEEPALIVE, Rndis.RESET) and not self.initialized:
            return _made(known[2], id=known[0].parse(message).id, status=r.INVALID_DATA)
        layout, act, answer = known
        return act(self, layout.parse(message), message, answer)

    def status(self, up: bool) -> bytes:
        """Return the message that tells of a link that has come or gone."""
        return _made(r.INDICATE_STATUS, status=r.LINK_UP if up else r.LINK_DOWN)

    # Requests.

    def _initialize(self, asked: Record, _message: bytes, answer: Layout) -> bytes:
        good = asked.major == 1
        self.initialized = self.initialized or good
        return _made(answer, id=asked.id, status=r.SUCCESS if good else r.BAD_VERSION, max_transfer=MAX_TRANSFER)

    def _halt(self, _asked: Record, _message: bytes, _answer: Layout) -> None:
        channels = self.channels
        self.begin()
        self.channels = channels

    def _reset(self, _asked: Record, _message: bytes, answer: Layout) -> bytes:
        self.filter = 0
        return _made(answer, addressing_reset=1)

    def _keepalive(self, asked: Record, _message: bytes, answer: Layout) -> bytes:
        return _made(answer, id=asked.id)

    def _query(self, asked: Record, message: bytes, answer: Layout) -> bytes:
        given = _data(asked, message)
        status, data = (r.INVALID_LENGTH, b"") if given is None else self._about(asked.oid, given)
        return _made(answer, data, id=asked.id, status=status, data_length=len(data), data_offset=16 if data else 0)

    def _set(self, asked: Record, message: bytes, answer: Layout) -> bytes:
        given = _data(asked, message)
        status = r.INVALID_LENGTH if given is None else self._change(asked.oid, given)
        return _made(answer, id=asked.id, status=status)

    def _about(self, oid: int, given: bytes) -> _Answer:
        """(status, data) of a query."""
        words = {Oid.MAX_FRAME_SIZE: frames.MAX - frames.HEADER, Oid.LINK_SPEED: self.mbit_per_s * 10_000, Oid.VENDOR_ID: VENDOR,
                 Oid.PACKET_FILTER: self.filter, Oid.MEDIA_CONNECT: int(not self.link())}
        if oid in words:
            return r.SUCCESS, words[Oid(oid)].to_bytes(4, "little")
        if oid == Oid.PERMANENT_ADDRESS or oid == Oid.CURRENT_ADDRESS:
            return r.SUCCESS, self.permanent if oid == Oid.PERMANENT_ADDRESS else self.address
        if oid == Oid.FRIENDLY_NAME:
            return r.SUCCESS, NAME.encode("utf-16-le") + b"\0\0"
        if oid == Oid.OFFLOAD_CAPABILITIES:
            return self._offload_capabilities(given)
        if oid == Oid.RSS_CAPABILITIES:
            return r.SUCCESS, r.RSS_CAPABILITIES.pack(size=r.RSS_CAPABILITIES.size - 2, flags=RSS_FLAGS, messages=1,
                                                      queues=self.max_channels, table_entries=r.TABLE_ENTRIES)
        return r.INVALID_OID, b""

    def _offload_capabilities(self, given: bytes) -> _Answer:
        """As long as the guest's header says that its revision is."""
        size = r.OBJECT.parse(given).size if len(given) >= r.OBJECT.size else r.OFFLOAD.size
        size = min(size, r.OFFLOAD.size)
        if size < r.OFFLOAD.by_name["ipsec2"].offset:
            return r.BUFFER_TOO_SHORT, b""
        each = r.ETHERNET_802_3
        made = r.OFFLOAD.pack(size=size, ip4_tx_encapsulation=each, ip4_tx=r.TX_TCP4, ip4_rx_encapsulation=each, ip4_rx=r.RX_ALL4,
                              ip6_tx_encapsulation=each, ip6_tx=r.TX_TCP6, ip6_rx_encapsulation=each, ip6_rx=r.RX_ALL6,
                              lso4_encapsulation=each, lso4_max=MAX_LARGE, lso4_min=2, lso6_encapsulation=each, lso6_max=MAX_LARGE,
                              lso6_min=2, lso6_options=0x5)
        return r.SUCCESS, made[:size]

    def _change(self, oid: int, given: bytes) -> int:
        """The status of a change, which is made if it is good."""
        if oid == Oid.PACKET_FILTER:
            if len(given) < 4:
                return r.INVALID_LENGTH
            self.filter = int.from_bytes(given[:4], "little")
            return r.SUCCESS
        if oid == Oid.OFFLOAD_PARAMETERS:
            return self._set_offloads(given)
        if oid == Oid.RSS_PARAMETERS:
            scaling = parameters(given, self.scaling, self.channels)
            if scaling is None:
                return r.INVALID_DATA
            self.scaling = scaling
            return r.SUCCESS
        if oid == Oid.CONFIG_PARAMETER:
            return self._configure(given)
        return r.INVALID_OID

    def _set_offloads(self, given: bytes) -> int:
        names = ("ip4", "tcp4", "udp4", "tcp6", "udp6", "lso4", "lso6")
        if len(given) < r.OFFLOAD_PARAMETERS.by_name["connection6"].offset + 1:
            return r.INVALID_LENGTH
        asked = r.OFFLOAD_PARAMETERS.parse(given.ljust(r.OFFLOAD_PARAMETERS.size, b"\0"))
        values = {name: getattr(asked, name) for name in names if getattr(asked, name) != r.NO_CHANGE}
        if asked.type != r.IS_DEFAULT or any(value > r.BOTH_ON for value in values.values()):
            return r.INVALID_DATA
        self.offloads |= values
        return r.SUCCESS

    def _configure(self, given: bytes) -> int:
        """A name and a value in UTF-16: the guest gives itself another address."""
        if len(given) < r.CONFIG_PARAMETER.size:
            return r.INVALID_LENGTH
        asked = r.CONFIG_PARAMETER.parse(given)
        name, value = (given[at:at + length] for at, length in ((asked.name_offset, asked.name_length), (asked.value_offset, asked.value_length)))
        if name != "NetworkAddress".encode("utf-16-le") or len(value) != 24 or asked.kind != 2:
            return r.INVALID_DATA
        try:
            self.address = frames.station_address(bytes.fromhex(value.decode("utf-16-le")))
        except ValueError:
            return r.INVALID_DATA
        return r.SUCCESS

    _REQUESTS: dict[int, tuple[Layout, Callable[..., Any], Any]] = {
        Rndis.INITIALIZE: (r.INITIALIZE, _initialize, r.INITIALIZE_COMPLETE), Rndis.HALT: (r.HALT, _halt, None),
        Rndis.QUERY: (r.QUERY, _query, r.QUERY_COMPLETE), Rndis.SET: (r.SET, _set, r.SET_COMPLETE),
        Rndis.RESET: (r.RESET, _reset, r.RESET_COMPLETE), Rndis.KEEPALIVE: (r.KEEPALIVE, _keepalive, r.KEEPALIVE_COMPLETE)}

    # Checkpoint.

    def save(self) -> State:
        """Return it as plain data."""
        return CONTROL.state(initialized=self.initialized, filter=self.filter, offloads=self.offloads, scaling=self.scaling.save(),
                             address=self.address)

    def restore(self, state: State) -> None:
        """Take it back."""
        saved = CONTROL.take(state)
        self.initialized, self.filter, self.address = saved["initialized"], saved["filter"], saved["address"]
        self.offloads, self.scaling = dict(saved["offloads"]), Scaling.restored(saved["scaling"])


def _made(layout: Layout, data: bytes = b"", **values: int) -> bytes:
    return layout.pack(length=layout.size + len(data), **values) + data


def _data(asked: Record, message: bytes) -> bytes | None:
    """What a QUERY or SET brings along; None if it lies outside of the message."""
    if not asked.data_length:
        return b""
    start = r.BODY + asked.data_offset
    if asked.data_offset < r.QUERY.size - r.BODY or start + asked.data_length > len(message):
        return None
    return message[start:start + asked.data_length]
