"""How NetVSC starts: it agrees with the host on a protocol, lends it two buffers, then asks the card what it is, one question at a time.

The order is Linux's: drivers/net/hyperv/netvsc.c, netvsc_connect_vsp() and netvsc_init_buf(), then rndis_filter.c,
rndis_filter_device_add().
"""

from vmio.drivers.errors import DriverError
from vmio.drivers.netvsc_card import SplitCard
from vmio.drivers.pages import PAGE
from vmio.hypervisor.contracts import Steps
from vmio.machine.net import frames
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r
from vmio.vmbus.net.rndis import Oid

LINUX_CAPABILITIES = n.CAPABILITIES.number(vlan=1)       # of every version; teaming and, on request, a VF from 5 on; no RSC here
LEAST_SECTION = 68 + frames.HEADER                       # bytes; Linux refuses smaller receive sections
OLD_OFFLOADS = 22                                        # bytes of OFFLOAD_PARAMETERS up to version 4


def negotiate(card: SplitCard, versions: tuple[int, ...]) -> Steps[None]:
    """Agree on a version, newest first, and say what follows it.  `DriverError`."""
    for version in versions:
        answer = yield from card.ask(n.INIT.pack(min_version=version, max_version=version), n.INIT_COMPLETE)
        card.tried[version] = answer.status == n.SUCCESS
        if card.tried[version]:
            card.version = version
            break
    else:
        raise DriverError(f"NetVSC: no protocol version in common with the host; asked for {', '.join(map(n.version_text, versions))}")
    confidential = card.client.trust.confidential
    if confidential and card.version < n.V6_1:
        raise DriverError(f"NetVSC: version {n.version_text(card.version)}; a confidential guest takes {n.version_text(n.V6_1)} or newer")
    if card.version >= n.V2:
        capabilities = LINUX_CAPABILITIES | (n.CAPABILITIES.mask("teaming") if card.version >= n.V5 else 0)
        capabilities |= n.CAPABILITIES.mask("sriov") if card.version >= n.V5 and card.accelerated and not confidential else 0
        card.tell(n.NDIS_CONFIG.pack(mtu=frames.MAX, capabilities=capabilities))
    card.tell(n.NDIS_VER.pack(major=6, minor=30 if card.version >= n.V5 else 1))


def lend(card: SplitCard) -> Steps[None]:
    """Lend the host the receive buffer and the send buffer.  `DriverError` if it takes none, or says what can't be."""
    first, pages = card.receive_at // PAGE, card.receive_bytes // PAGE
    card.receive_gpadl = yield from card.client.create_gpadl(card.channel, tuple(range(first, first + pages)))
    answer = yield from card.ask(n.RECV_BUF.pack(gpadl=card.receive_gpadl, id=n.RECEIVE_BUFFER), n.RECV_BUF_COMPLETE)
    whole = answer.section_bytes * answer.section_count
    if answer.status != n.SUCCESS or answer.sections != 1 or answer.offset or answer.section_bytes < LEAST_SECTION or whole > card.receive_bytes:
        raise DriverError(f"NetVSC: the host cuts a receive buffer of {card.receive_bytes:,} bytes into {answer.section_count} sections of "
                          f"{answer.section_bytes} bytes, status {answer.status}")
    card.sections = answer.section_count
    first, pages = card.send_at // PAGE, card.send_bytes // PAGE
    card.send_gpadl = yield from card.client.create_gpadl(card.channel, tuple(range(first, first + pages)))
    answer = yield from card.ask(n.SEND_BUF.pack(gpadl=card.send_gpadl, id=n.SEND_BUFFER), n.SEND_BUF_COMPLETE)
    if answer.status != n.SUCCESS or not LEAST_SECTION <= answer.section_bytes <= card.send_bytes:
        raise DriverError(f"NetVSC: no send buffer: status {answer.status}, sections of {answer.section_bytes} bytes")
    card.section_bytes = answer.section_bytes
    card.free_sections = list(range(card.send_bytes // answer.section_bytes - 1, -1, -1))


def introduce(card: SplitCard) -> Steps[None]:
    """Ask the card about itself by RNDIS, in Linux's order.  `DriverError` for the answers that it can't do without."""
    answer, _ = yield from card.request(r.INITIALIZE, r.INITIALIZE_COMPLETE)
    card.max_messages, card.alignment = max(1, answer.max_packets), 1 << min(answer.alignment, 3)
    mtu = yield from query(card, Oid.MAX_FRAME_SIZE)
    card.mtu = min(frames.MAX - frames.HEADER, int.from_bytes(mtu, "little")) if len(mtu) == 4 else frames.MAX - frames.HEADER
    address = yield from query(card, Oid.PERMANENT_ADDRESS, needed=True)
    try:
        card.address = frames.station_address(address)
    except ValueError as error:
        raise DriverError(f"NetVSC: the host says that the card has an {error}") from None
    yield from query(card, Oid.FRIENDLY_NAME)
    yield from offloads(card)
    card.up = (yield from query(card, Oid.MEDIA_CONNECT)) == bytes(4)
    if card.version >= n.V5:
        card.speed = int.from_bytes((yield from query(card, Oid.LINK_SPEED)), "little") * 100
        scaling = yield from query(card, Oid.RSS_CAPABILITIES)
        if len(scaling) >= r.RSS_CAPABILITIES.size - 2:
            card.max_channels = r.RSS_CAPABILITIES.parse(scaling.ljust(r.RSS_CAPABILITIES.size, b"\0")).queues


def offloads(card: SplitCard) -> Steps[None]:
    """See which offloads the card has, and switch on what the driver uses: checksums and large sends; Linux does IPv4's header itself."""
    size = r.OFFLOAD.size if card.version >= n.V5 else r.OFFLOAD.by_name["rsc4"].offset
    asked = r.OBJECT.pack(type=r.IS_OFFLOAD, revision=3 if card.version >= n.V5 else 2, size=size)
    found = yield from query(card, Oid.OFFLOAD_CAPABILITIES, asked, needed=True)
    has = r.OFFLOAD.parse(found.ljust(r.OFFLOAD.size, b"\0"))
    tcp = r.BOTH_ON if has.ip4_tx & 0x14 == 0x14 else r.OFF
    large = r.TX_ON if has.lso4_encapsulation & r.ETHERNET_802_3 and tcp == r.BOTH_ON else r.OFF
    card.checksums, card.large_send = tcp == r.BOTH_ON, large == r.TX_ON
    size = r.OFFLOAD_PARAMETERS.size if card.version >= n.V5 else OLD_OFFLOADS
    wanted = r.OFFLOAD_PARAMETERS.pack(size=size, ip4=r.OFF, tcp4=tcp, udp4=tcp, tcp6=tcp, udp6=tcp, lso4=large, lso6=large)
    yield from put(card, Oid.OFFLOAD_PARAMETERS, wanted.ljust(size, b"\0")[:size])


def query(card: SplitCard, oid: int, data: bytes = b"", needed: bool = False) -> Steps[bytes]:
    """Return what the card says about `oid`; b"" if it knows nothing of it, or `DriverError` if that is `needed`."""
    answer, message = yield from card.request(r.QUERY, r.QUERY_COMPLETE, data, oid=oid, data_length=len(data))
    start = r.BODY + answer.data_offset
    found = message[start:start + answer.data_length]
    if answer.status or len(found) != answer.data_length:
        if needed:
            raise DriverError(f"NetVSC: query {oid:#010x}: status {answer.status:#x}")
        return b""
    return found


def put(card: SplitCard, oid: int, data: bytes) -> Steps[None]:
    """Set `oid`; `DriverError` if the card refuses."""
    answer, _ = yield from card.request(r.SET, r.SET_COMPLETE, data, oid=oid, data_length=len(data))
    if answer.status:
        raise DriverError(f"NetVSC: set {oid:#010x}: status {answer.status:#x}")
