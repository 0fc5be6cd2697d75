"""The bus: control messages in almost the right order, hypercalls, SynIC registers, torn rings of open channels."""

from tests.echo_device import EchoDevice, offer
from tests.fuzz.engine import bruised, nearly, number
from tests.property.test_vmbus_hostile import FIRST, LIMIT, echo_all
from tests.raw_guest import RawGuest, machine
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.host import Host
from vmio.vmbus import messages as m
from vmio.vmbus import tlfs

MSRS = (tlfs.SCONTROL, tlfs.SIMP, tlfs.SIEFP, tlfs.EOM, tlfs.EOI, tlfs.SINT0 + 2, tlfs.SINT0 + 5, tlfs.HYPERCALL,
        tlfs.GUEST_OS_ID, tlfs.SIMP, tlfs.SIEFP)
WORDS = (0, 1, 0xF3, 0x100F3, 0x20_0001, 0x20_1001, 0x10_1001, 0xFFFF_F001)
RINGS = {1: (7, 8, 4), 2: (8, 32, 2)}       # relid -> GPADL, pages, downstream page


def right(dice):
    """(layout, fields) of a message that an honest guest might say."""
    relid = dice.choice((1, 2))
    handle, pages, downstream = RINGS[relid]
    first = FIRST + (8 if relid == 2 else 0)
    return dice.choice((
        (m.OPENCHANNEL, {"relid": relid, "gpadl": handle, "downstream_page": downstream}),
        (m.OPENCHANNEL, {"relid": relid, "gpadl": handle, "downstream_page": downstream, "target_vp": 1}),
        (m.CLOSECHANNEL, {"relid": relid}), (m.GPADL_TEARDOWN, {"relid": relid, "gpadl": handle}),
        (m.RELID_RELEASED, {"relid": relid}), (m.MODIFYCHANNEL, {"relid": relid, "target_vp": dice.randrange(2)}),
        (m.REQUESTOFFERS, {}),
        (m.GPADL_HEADER, {"relid": relid, "gpadl": handle, "range_bytes": 8 + 8 * pages, "ranges": 1,
                          "byte_count": pages * 4096, "pages": tuple(range(first, first + min(pages, m.HEADER_PAGES)))}),
        (m.GPADL_BODY, {"number": 1, "gpadl": handle, "pages": tuple(range(first + m.HEADER_PAGES, first + pages))}),
        (m.INITIATE_CONTACT, {"version": dice.choice(m.LINUX_VERSIONS)}),
        (m.INITIATE_CONTACT, {"version": m.V5_3}), (m.UNLOAD, {})))


def message(dice):
    layout, fields = right(dice) if dice.random() < 0.95 else (dice.choice(tuple(m.LAYOUTS.values())), {})
    if dice.random() < 0.1 and fields.get("pages"):
        pages = list(fields["pages"])
        pages[dice.randrange(len(pages))] = dice.choice((0, 0x102, 0x3FF, 0x400, 1 << 52, (1 << 64) - 1, FIRST))
        fields["pages"] = tuple(pages)
    return bruised(dice, nearly(dice, layout, fields, 0.2)[:240], 0.1)


def act(cpu, raw, server, dice):
    """One action; what came of it."""
    what = dice.randrange(24)
    if what < 9:
        data = message(dice)
        size = len(data) if dice.random() < 0.95 else number(dice, 32)
        connection = dice.choice((1, 1, 1, 1, 1, 4, 2, 0x2001)) if dice.random() < 0.95 else number(dice, 32)
        cpu.write(raw.input, tlfs.POST_INPUT.pack(connection_id=connection, message_type=dice.choice((1,) * 20 + (0, 2)),
                                                  size=size, payload=data))
        at = raw.input if dice.random() < 0.97 else dice.choice((raw.input + 4, 0x40_0000 - 8, number(dice, 48)))
        return "post", int.from_bytes(data[:4], "little"), cpu.hypercall(tlfs.POST_MESSAGE, at) & 0xFFFF
    if what < 12:
        return "signal", cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, dice.choice((0x2001, 0x2002, number(dice, 64)))) & 0xFFFF
    if what < 14:
        control = dice.choice((tlfs.POST_MESSAGE, tlfs.FAST_SIGNAL_EVENT, 0x5D, 0x7E, number(dice, 16)))
        control ^= 1 << dice.randrange(64) if dice.random() < 0.5 else 0
        return "hypercall", control & 0xFFFF, cpu.hypercall(control, dice.choice((raw.input, number(dice, 64)))) & 0xFFFF
    if what < 17:
        page, word = dice.choice((0, 4, 8, 10)), dice.choice((0, 0, 1, 2, 3, 16))
        value = dice.choice((8 * dice.randrange(64), 0, 1, number(dice, 32)))
        if dice.random() < 0.3:
            page, word = dice.randrange(40), dice.randrange(1024)
        cpu.store(FIRST * 4096 + 4096 * page + 4 * word, 4, value)
        return "store", page if word < 17 else -1, word if word < 17 else -1
    if what < 18:
        msr = dice.choice(MSRS)
        value = dice.choice(WORDS) if dice.random() < 0.7 else number(dice, 64)
        if dice.random() < 0.6:
            cpu.rdmsr(msr)
        else:
            cpu.wrmsr(msr, value)
        return "msr", msr
    if what < 19 and dice.random() < 0.1:
        relid = dice.choice((1, 2))
        if relid in server.channels:
            server.rescind(server.channels[relid])
        return ("rescind",)
    return None


def from_the_start(dice):
    """All that it takes to open a channel, with the last message nearly right: so that OPENCHANNEL is reached again."""
    relid = dice.choice((1, 2))
    handle, pages, downstream = RINGS[relid]
    first = FIRST + (8 if relid == 2 else 0)
    fields = {"relid": relid, "gpadl": handle, "downstream_page": downstream}
    if dice.random() < 0.5:
        name = dice.choice(tuple(fields) + ("target_vp",))
        fields[name] = number(dice, 32)
    return (m.INITIATE_CONTACT.pack(version=m.V5_3), m.REQUESTOFFERS.pack(),
            *m.gpadl_messages(relid, handle, tuple(range(first, first + pages))), m.OPENCHANNEL.pack(**fields))


def states(server):
    return (tuple(channel.state.value for channel in server.channels.values())[:3], server.version,
            len(server.gpadls.by_handle))


def hostile(server, dice, operations, note):
    def program(cpu):
        raw = RawGuest(cpu)
        if dice.random() < 0.9:
            yield from raw.connect()
            for relid, (handle, pages, downstream) in RINGS.items():
                first = FIRST + (8 if relid == 2 else 0)
                yield from raw.say(*m.gpadl_messages(relid, handle, tuple(range(first, first + pages))),
                                   m.OPENCHANNEL.pack(relid=relid, gpadl=handle, downstream_page=downstream))
        for _ in range(operations):
            if dice.random() < 0.03:
                for data in from_the_start(dice):
                    try:
                        cpu.write(raw.input, tlfs.POST_INPUT.pack(connection_id=1, message_type=1, size=len(data), payload=data))
                        status = cpu.hypercall(tlfs.POST_MESSAGE, raw.input) & 0xFFFF
                        yield from cpu.hlt(50_000)
                    except GuestFault:
                        status = -1
                    note(("from the start", data[0], status, *states(server)))
            try:
                outcome = act(cpu, raw, server, dice)
            except GuestFault:
                outcome = ("#GP or stray store",)
            if outcome is None or dice.random() < 0.3:
                try:
                    yield from cpu.hlt(dice.choice((20_000, 50_000, 200_000)))
                except GuestFault:
                    pass
                outcome = outcome or ("wait",)
            note((*outcome, *states(server)))
            assert len(server._outgoing) < 2500 and len(server._port.queue) < 2500 and len(server.gpadls.by_handle) < 5000
        yield from cpu.hlt(1_000_000)
    return program


def life(dice, operations, note):
    host, guest, server = machine(Host(memory_mib=16))
    devices = [offer(server, EchoDevice(host, n)) for n in (1, 2)]
    _, neighbour, quiet = machine(host)
    own = offer(quiet, EchoDevice(host, 3))
    neighbour.memory.write(0x3C_0000, b"canary" * 1000)
    _, found = host.run((guest.cpu, hostile(server, dice, operations, note)), (neighbour.cpu, echo_all(quiet, 10)),
                        limit_ns=LIMIT)
    assert found == 1 and own.echoed == 10 and not quiet.refused
    assert neighbour.memory.read(0x3C_0000, 6000) == b"canary" * 1000
    assert server.gpadls.pages == sum(g.cost for g in server.gpadls.by_handle.values())
    guest.enlightened.reset()
    left = len([c for c in server.channels.values() if c.state.value != "rescinded"])
    (found,) = host.run((guest.cpu, echo_all(server, 2)), limit_ns=LIMIT)
    assert found == left and all(d.closes == d.opens for d in devices)
    assert len(host.env._queue) < 300, "events without end"
