"""The bus: control messages in almost the right order, hypercalls, SynIC registers, torn rings of open channels."""

from tests.echo_device import EchoDevice, offer
from tests.fuzz.engine import bruised, nearly, number
from tests.fuzz.echoes import FIRST, LIMIT, echo_all
from tests.raw_guest import RawGuest, machine
from vmio import modes
from vmio.hypervisor.guest import GuestFault
from vmio.hypervisor.hyperv import tlfs
from vmio.vmbus.bus import messages as m

MSRS = (tlfs.SCONTROL, tlfs.SIMP, tlfs.SIEFP, tlfs.EOM, tlfs.EOI, tlfs.SINT0 + 2, tlfs.SINT0 + 5, tlfs.HYPERCALL,
        tlfs.GUEST_OS_ID, tlfs.SIMP, tlfs.SIEFP, tlfs.REFERENCE_TSC, tlfs.TSC_INVARIANT_CONTROL, tlfs.STIMER0_CONFIG, tlfs.STIMER0_CONFIG + 1)
TIMERS = (0xB, 0x2000F, 0x1ED9, 0x1EDB, 0x1EDF, 0x1F3B, 0x105B)   # messages to SINT 0 and 2, vectors EDh, F3h and 5
WORDS = (0, 1, 0xF3, 0x100F3, 0x20_0001, 0x20_1001, 0x10_1001, 0xFFFF_F001, *TIMERS)
RINGS = {1: (7, 8, 4), 2: (8, 32, 2)}       # relid -> GPADL, pages, downstream page


MONITOR = 0x3E_1000                         # where this guest has its monitor page
MAX_PAGES, MAX_GPADLS = 120, 5            # that this guest may lend: few, so that it comes to the end of them
STRANGE_PAGES = (0, 0x101, 0x102, 0x103, 0x3FF, 0x400, 0x500, 1 << 52, (1 << 64) - 1, FIRST)
CANARY = b"canary" * 1000
KINDS = (("post",) * 9 + ("wait",) * 5 + ("signal", "store", "bit") * 3 + ("hypercall", "open") * 2
         + ("flood", "hoard", "msr", "timer", "rescind", "again"))


def pages_of(relid):
    """The guest's pages of a channel's rings."""
    first = FIRST + (8 if relid == 2 else 0)
    return tuple(range(first, first + RINGS[relid][1]))


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
        (m.INITIATE_CONTACT, {"version": m.V5_3, "monitor_page1": MONITOR - 4096, "monitor_page2": MONITOR}), (m.UNLOAD, {})))


def message(dice):
    layout, fields = right(dice) if dice.random() < 0.95 else (dice.choice(tuple(m.LAYOUTS.values())), {})
    if dice.random() < 0.1 and fields.get("pages"):
        pages = list(fields["pages"])
        pages[dice.randrange(len(pages))] = dice.choice(STRANGE_PAGES)
        fields["pages"] = tuple(pages)
    return bruised(dice, nearly(dice, layout, fields, 0.2)[:240], 0.1)


class Machine:
    """A guest with two devices, whose channels an honest start may have opened; a neighbour with one."""

    def __init__(self, dice):
        self.host, self.guest, self.server = machine(modes.Machine(memory_mib=16).host)
        self.devices = [EchoDevice(self.host, n) for n in (1, 2)]
        for device in self.devices:
            device.monitor_latency = 200 * dice.randrange(1, 4)
            offer(self.server, device)
        _, self.neighbour, self.quiet = machine(self.host)
        self.own = offer(self.quiet, EchoDevice(self.host, 3))
        self.neighbour.memory.write(0x3C_0000, CANARY)
        self.server.gpadls._max_pages, self.server.gpadls._max_gpadls = MAX_PAGES, MAX_GPADLS
        self.raw = RawGuest(self.guest.cpu)
        if dice.random() < 0.9:
            self.run(self.begin)

    def run(self, program, *others):
        """A program on the guest's vCPU; a fault is its own affair."""
        def contained(cpu):
            cpu.compute(max(self.host.env.now - cpu.now, 0))
            try:
                return (yield from program(cpu))
            except GuestFault as fault:
                return (str(fault).split(",")[0][-20:],)
        return self.host.run((self.guest.cpu, contained), *others, limit_ns=LIMIT)

    def begin(self, cpu):
        """What an honest guest does first."""
        yield from self.raw.connect(monitor_page1=MONITOR - 4096, monitor_page2=MONITOR)
        for relid, (handle, pages, downstream) in RINGS.items():
            yield from self.raw.say(*m.gpadl_messages(relid, handle, pages_of(relid)),
                                    m.OPENCHANNEL.pack(relid=relid, gpadl=handle, downstream_page=downstream))

    def again(self):
        """Power button, and an honest start."""
        self.guest.enlightened.reset()
        self.raw = RawGuest(self.guest.cpu)
        self.run(self.begin)

    def step(self, dice, kind):
        if kind == "again":
            self.again()
            return kind, *self.states()
        outcome, = self.run(lambda cpu: self.act(cpu, dice, kind))
        return kind, *outcome, *self.states()

    def post(self, cpu, data, connection=1, message_type=1, size=None, at=None):
        """HvCallPostMessage; the status."""
        cpu.write(self.raw.input, tlfs.POST_INPUT.pack(connection_id=connection, message_type=message_type,
                                                       size=len(data) if size is None else size, payload=data))
        return cpu.hypercall(tlfs.POST_MESSAGE, self.raw.input if at is None else at) & 0xFFFF

    def act(self, cpu, dice, kind):
        """One action, by a program on the guest's vCPU; what came of it."""
        if kind == "post":
            data = message(dice)
            at = self.raw.input if dice.random() < 0.97 else dice.choice((self.raw.input + 4, 0x40_0000 - 8, number(dice, 48)))
            outcome = int.from_bytes(data[:4], "little"), self.post(
                cpu, data, dice.choice((1, 1, 1, 1, 1, 4, 2, 0x2001)) if dice.random() < 0.95 else number(dice, 32),
                dice.choice((1,) * 20 + (0, 2)), len(data) if dice.random() < 0.95 else number(dice, 32), at)
        elif kind == "open":                    # all that it takes, a field of it wrong now and then
            return (yield from self.open(cpu, dice))
        elif kind == "flood":
            outcome = tuple({self.post(cpu, message(dice)) for _ in range(20)})
        elif kind == "hoard":                   # more GPADLs than a guest may have, and longer than they said
            relid, outcome = dice.choice((1, 2)), []
            for handle in range(10, 10 + dice.randrange(1, 9)):
                pages, cut = tuple(range(0x300, 0x300 + dice.choice((2, 20, 28, 60)))), dice.randrange(20)
                header, *bodies = m.gpadl_messages(relid, handle, pages[:len(pages) - cut % len(pages)])
                outcome.append(self.post(cpu, header))
                if bodies or dice.random() < 0.5:
                    outcome.append(self.post(cpu, m.GPADL_BODY.pack(number=1, gpadl=handle, pages=pages[-28:])))
                yield from cpu.hlt(50_000)
            outcome = tuple(set(outcome))
        elif kind == "signal":
            outcome = cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, dice.choice((0x2001, 0x2002, number(dice, 64)))) & 0xFFFF,
        elif kind == "hypercall":
            control = dice.choice((tlfs.POST_MESSAGE, tlfs.FAST_SIGNAL_EVENT, 0x5D, 0x7E, number(dice, 16)))
            control ^= 1 << dice.randrange(64) if dice.random() < 0.5 else 0
            outcome = control & 0xFFFF, cpu.hypercall(control, dice.choice((self.raw.input, number(dice, 64)))) & 0xFFFF
        elif kind == "store":
            page, word = dice.choice((0, 4, 8, 10)), dice.choice((0, 0, 1, 2, 3, 16))
            value = dice.choice((8 * dice.randrange(64), 0, 1, number(dice, 32)))
            if dice.random() < 0.3:
                page, word = dice.randrange(40), dice.randrange(1024)
            cpu.store(FIRST * 4096 + 4096 * page + 4 * word, 4, value)
            outcome = page if word < 17 else -1, word if word < 17 else -1
        elif kind == "bit":                     # in the monitor page, mostly one that means something
            word = dice.choice((8, 8, 8, 0, 12, 16, 0x240, 0x440, 4 * dice.randrange(1024)))
            value = dice.choice((1, 2, 3, 0, 0xFFFF_FFFF, number(dice, 32)))
            cpu.store(MONITOR + word, 4, value)
            outcome = word if word < 20 else -1, value
        elif kind == "msr":
            msr = dice.choice(MSRS)
            value = dice.choice(WORDS) if dice.random() < 0.7 else number(dice, 64)
            outcome = msr,
            if dice.random() < 0.6:
                cpu.rdmsr(msr)
            else:
                cpu.wrmsr(msr, value)
        elif kind == "timer":                   # armed, by vectors and messages, for the past and for soon, once and again
            timer = tlfs.STIMER0_CONFIG + 2 * dice.randrange(tlfs.STIMERS)
            config, count = dice.choice(TIMERS), dice.choice((1, 100, cpu.now // 100 + 50, number(dice, 64)))
            cpu.wrmsr(timer, config)
            cpu.wrmsr(timer + 1, count)
            outcome = config,
        elif kind == "rescind":
            relid = dice.choice((1, 2)) if dice.random() < 0.1 else 0
            if relid in self.server.channels:
                self.server.rescind(self.server.channels[relid])
            outcome = relid,
        else:
            outcome = ()
        if kind == "wait" or dice.random() < 0.3:
            yield from cpu.hlt(dice.choice((20_000, 50_000, 200_000)))
        yield from cpu.pay()
        return outcome

    def open(self, cpu, dice):
        """From contact to OPENCHANNEL."""
        relid = dice.choice((1, 2))
        handle, pages, downstream = RINGS[relid]
        fields = {"relid": relid, "gpadl": handle, "downstream_page": downstream}
        if dice.random() < 0.5:
            name = dice.choice(tuple(fields) + ("target_vp",))
            fields[name] = dice.choice((number(dice, 32), 3 - relid, RINGS[3 - relid][0], 2))
        pages = list(pages_of(relid))
        if dice.random() < 0.2:
            pages[dice.randrange(len(pages))] = dice.choice(STRANGE_PAGES)
        messages = [m.INITIATE_CONTACT.pack(version=m.V5_3), m.REQUESTOFFERS.pack(),
                    *m.gpadl_messages(3 - relid, RINGS[3 - relid][0], pages_of(3 - relid)),
                    *m.gpadl_messages(relid, handle, tuple(pages)), m.OPENCHANNEL.pack(**fields),
                    m.GPADL_TEARDOWN.pack(relid=relid, gpadl=handle)]
        said = []
        for data in messages[:len(messages) - (dice.random() < 0.7)]:
            if dice.random() < 0.95:
                said.append(self.post(cpu, data))
                yield from cpu.hlt(50_000)
        return tuple(set(said))

    def states(self):
        """The bus in a few words."""
        server = self.server
        return (tuple(channel.state.value for channel in server.channels.values())[:3], server.version,
                len(server.gpadls.by_handle))

    def check(self):
        """What the host believes is true: pages the guest's own, vCPUs that exist, rings that are still lent."""
        server, guest = self.server, self.guest
        table, ports = server.gpadls, guest.enlightened.event_ports
        assert len(server._outgoing) < 2500 and len(server._port.queue) <= 16
        assert table.pages == sum(gpadl.cost for gpadl in table.by_handle.values()) <= MAX_PAGES
        assert len(table.by_handle) <= MAX_GPADLS
        for gpadl in table.by_handle.values():
            assert len(gpadl.words) <= gpadl.words_declared
            pages = [page for each in gpadl.ranges or () for page in each.pages]
            assert max(pages, default=0) < guest.ram // 4096 and len(set(pages)) == len(pages), "pages that can't be lent"
        for channel in server.channels.values():
            if channel.end is not None:
                ring = channel.end.incoming.memory
                assert ring._spa == [guest.ram_spa(page * 4096) for page in ring.pages], "a ring in a page of the host's"
                assert channel.target_vp == m.NO_INTERRUPTS or channel.target_vp < len(guest.vcpus), "a vCPU that isn't there"
                assert channel.announced and channel.ring.relid == channel.relid, "somebody else's GPADL, or channel"
            if channel.in_use:
                assert table.by_handle.get(channel.ring.handle) is channel.ring, "torn down, and the device still uses it"
        monitor = server.monitor
        assert monitor.page is None or monitor.page % 4096 == 0 and monitor.page < guest.ram, "a page that isn't the guest's"
        assert len(monitor.due) <= 2 and all(channel.monitor_id == n for n, channel in monitor.channels.items())
        assert (guest.polled_by is None) == (monitor.page is None)
        live = {channel.connection_id for channel in server.channels.values() if channel.end is not None}
        assert set(ports) == live, "a signal to a channel that is closed"

    def end(self):
        """Beside a guest that makes noise the neighbour works; after a reset this one does, too."""
        def noise(cpu):
            for _ in range(40):
                cpu.hypercall(tlfs.FAST_SIGNAL_EVENT, 0x2001)
                yield from cpu.hlt(20_000)
            yield from cpu.hlt(1_000_000)
        *_, found = self.run(noise, (self.neighbour.cpu, echo_all(self.quiet, 10)))
        assert found == 1 and self.own.echoed == 10 and not self.quiet.refused
        assert self.neighbour.memory.read(0x3C_0000, len(CANARY)) == CANARY
        self.server.gpadls._max_pages, self.server.gpadls._max_gpadls = 10_000, 100
        self.guest.enlightened.reset()
        left = len([c for c in self.server.channels.values() if c.state.value != "rescinded"])
        found, = self.host.run((self.guest.cpu, echo_all(self.server, 2)), limit_ns=LIMIT)
        assert found == left and all(d.closes == d.opens for d in self.devices)
        assert len(self.host.env._queue) < 300, "events without end"
