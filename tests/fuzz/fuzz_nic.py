"""A virtual function of the 82576 in hostile hands: rings, descriptors, mailbox, registers; the host's own driver answers, a neighbour works."""

from tests.fuzz.engine import number
from tests.fuzz.fuzz_tulip import CANARY, RAM, Fenced
from tests.net_rig import BROADCAST, GROUP, PEER
from tests.nic_rig import COMMAND, ENTRIES, RX, RX_DATA, TX, Vf, frame

from vmio import modes
from vmio.hardware.nic import descriptors as d
from vmio.hardware.nic import registers as r
from vmio.hardware.nic.transmit import BURST, MOST
from vmio.host.net.igb import CTS, MOST_BYTES, SET_MAC, VLAN
from vmio.host.net.nic import HostNic
from vmio.machine.net import headers
from vmio.machine.net.cable import Cable

KINDS = (("descriptor",) * 6 + ("context",) * 2 + ("bell",) * 5 + ("write",) * 3 + ("mail",) * 4 + ("start", "start", "frame", "frame", "neighbour",
         "time", "time", "buffer", "read", "reset", "table", "flood", "endless"))
US, THEM = bytes([2, 0, 0, 0, 0, 0]), bytes([2, 0, 0, 0, 0, 1])
REGISTERS = (*(base + at for base in (r.TX, r.RX, r.TX + 0x100, r.RX + 0x100)
               for at in (r.LOW, r.HIGH, r.LENGTH, r.SRRCTL, r.HEAD, r.TAIL, r.CONTROL)),
             r.EICS, r.EIMS, r.EIMC, r.EIAC, r.EIAM, r.EICR, r.EITR, r.EITR + 4, r.IVAR, r.IVAR_MISC, r.V2P, r.MAIL, r.STATUS, r.CTRL, r.VFTE, r.VLVF,
             r.P2V, r.DTXSWC, 0x3FFC)
GOOD = {r.LOW: (TX, RX), r.LENGTH: (ENTRIES * 16, 8 * 16, 4096 * 16), r.TAIL: (0, 1, 5, 31), r.HEAD: (0, 1), r.CONTROL: (0, r.ENABLE, r.ENABLE),
        r.SRRCTL: (0x8200_0002, 0x0200_0001, 0)}
MOST_MOVES = 6 * BURST + 40 * 8        # of one action: two queues' bursts, and what comes in meanwhile
MOST_EVENTS = 40


class Machine:
    """The host with its card, the attacker's function and the neighbour's, and a station at the wire."""

    def __init__(self, dice):
        self.cable, self.got = Cable(), []
        self.host = modes.Machine(memory_mib=16).host
        self.nic = HostNic(self.host, self.cable.ends[0], [US, THEM])
        self.cable.ends[1].connect(self)
        for function in self.nic.card.functions:
            function.reset()
        self.later(1_000_000)
        self.memory = Fenced()
        self.us = Vf(self.nic.card.functions[0], US, self.memory)
        self.us.memory = self.memory.whole          # the guest's processor has no fence
        self.them = Vf(self.nic.card.functions[1], THEM)
        for vf in (self.us, self.them):
            self.join(vf)
        self.seen, self.vlans = 0, set()
        self._most, self.turns = 0, self.nic.driver.turns
        self._before = self.neighbour()

    def receive(self, data):
        self.got.append(data)
        return True

    def link_changed(self, up):
        """Nobody pulls this cable."""

    def later(self, ns):
        self.host.env.run(until=self.host.env.now + ns)

    def join(self, vf):
        """The handshake of a driver that begins, and its rings; a function that keeps its buffer to itself is reset first."""
        vf.write(r.CTRL, r.RESET)
        self.later(1_000_000)
        vf.write(r.V2P, r.VF_USES)
        vf.write(r.MAIL, 1)
        vf.write(r.V2P, r.REQUEST)
        self.later(1_000_000)
        assert vf.read(r.V2P) & r.PF_STATUS and vf.read(r.MAIL) == 0x8000_0001, "no answer to a reset"
        vf.start()

    def neighbour(self):
        """What the attacker must not change: its registers, what it may do, what the host knows of it."""
        nic, driver = self.them.nic, self.nic.driver
        fixed = [[each.registers[at] for at in (r.LOW, r.LENGTH, r.CONTROL)] for each in (*nic.receivers, *nic.transmitters)]
        return (fixed, nic.ivar, nic.ivar_misc, nic.interrupts.mask, nic.mailbox.words, self.nic.card.read(r.VFRE, 4) >> 1 & 1,
                self.nic.card.read(r.VFTE, 4) >> 1 & 1, driver.vfs[1].address, driver.vfs[1].clear_to_send, self.nic.card.pools.addresses.get(THEM))

    def step(self, dice, kind):
        before = self.memory.moves
        told = getattr(self, "_" + kind)(dice)
        self._most = self.memory.moves - before
        return kind, told, self.us.nic.faults & 3, len(self.got) & 1

    def _write(self, dice):
        register = dice.choice(REGISTERS)
        good = GOOD.get(register & 0xFF, (0, 1, 7, 0x8081, 0x82)) if register & 0xF000 in (0x2000, 0x3000) else (0, 1, 2, 4, 7, 0x8081, 0x83, 0x8383_8383, r.RESET)
        value = dice.choice(good) if dice.random() < 0.8 else number(dice, 32) & 0xFFFF_FFFF
        self.us.nic.write(register, dice.choice((4, 4, 4, 4, 2, 1)), value & 0xFFFF_FFFF)
        return register

    def _descriptor(self, dice):
        source = US if dice.random() < 0.8 else dice.choice((THEM, PEER, GROUP))
        data = frame(dice.choice((THEM, PEER, BROADCAST, GROUP, US)), source, dice.choice((14, 60, 200, 1514)))
        if dice.random() < 0.2:
            data = headers.tag(data, dice.choice((0, 5, 6, 4095)))
        command = COMMAND
        for bit, chance in ((d.T_END, 0.2), (d.T_REPORT, 0.2), (d.T_SEGMENT, 0.1), (d.T_VLAN, 0.1), (d.T_ADVANCED, 0.05)):
            command ^= bit if dice.random() < chance else 0
        status = (d.T_CHECKSUM | d.T_IP_CHECKSUM if dice.random() < 0.3 else 0) | (d.T_CONTEXT if dice.random() < 0.1 else 0)
        length = len(data) if dice.random() < 0.8 else dice.choice((0, 13, 2000, 0xFFFF))
        at = self.us.sent % ENTRIES
        self.us.put(data, command=command, status=status, length=length)
        if dice.random() < 0.06:
            self.memory.whole.write(TX + at * 16, dice.choice((RAM - 8, RAM, 1 << 40, 0xFEE0_0000)).to_bytes(8, "little"))
        return command >> 20, length

    def _context(self, dice):
        lengths = dice.choice((14 << 9 | 20, 5 << 16 | 14 << 9 | 20, number(dice, 32) & 0xFFFF_FFFF))
        self.us.context(lengths, dice.choice((d.C_IPV4, d.C_IPV4 | d.C_TCP)), dice.choice((88 << 16, 1000 << 16, 0, number(dice, 32) & 0xFFFF_FFFF)))

    def _bell(self, dice):
        if dice.random() < 0.9:
            self.us.ring()
        else:
            self.us.write(r.TX + dice.choice((0, 0x100)) + r.TAIL, number(dice, 16) & 0xFFFF)
        return len(self.got) & 3

    def _buffer(self, dice):
        at = dice.choice((RX_DATA, RX_DATA, RAM - 100, RAM, 1 << 45, RX))
        self.memory.whole.write(RX + dice.randrange(ENTRIES) * 16, at.to_bytes(8, "little"))
        self.us.write(r.RX + r.TAIL, dice.randrange(ENTRIES))

    def _mail(self, dice):
        """Any message, with the buffer taken or not."""
        kind, info = dice.randrange(9), dice.choice((0, 1, 2, 30, 255))
        words = [kind | info << 16 | dice.choice((0,) * 8 + (CTS, 1 << 31))] + [number(dice, 32) & 0xFFFF_FFFF for _ in range(dice.randrange(4))]
        if kind == SET_MAC and dice.random() < 0.7:
            address = dice.choice((THEM, US, GROUP, PEER))
            words[1:] = [int.from_bytes(address[:4], "little"), int.from_bytes(address[4:], "little")]
        if kind == VLAN:
            words[1:] = [dice.choice((5, 6, dice.randrange(4096)))]
            self.vlans.add(words[1] & 0xFFF)
        self.us.write(r.V2P, dice.choice((r.VF_USES,) * 6 + (0,)))
        for at, word in enumerate(words):
            self.us.write(r.MAIL + 4 * at, word)
        self.us.write(r.V2P, dice.choice((r.REQUEST,) * 8 + (r.REQUEST | r.VF_USES, r.ACK, r.REQUEST | r.ACK)))
        if dice.random() < 0.8:
            self.later(100_000)
        return kind, self.us.nic.read(r.V2P, 4) & 0xFF

    def _flood(self, dice):
        """As many VLANs as the function will be given."""
        for vlan in range(first := dice.randrange(1, 4000), first + 20):
            self.us.write(r.V2P, r.VF_USES)
            self.us.write(r.MAIL, VLAN | 1 << 16)
            self.us.write(r.MAIL + 4, vlan)
            self.vlans.add(vlan)
            self.us.write(r.V2P, r.REQUEST)
            self.later(100_000)

    def _endless(self, dice):
        """Descriptors of one frame that never ends."""
        self.us.start()
        for _ in range(dice.randrange(1, 6)):
            self.us.put(bytes(16), command=COMMAND & ~d.T_END, length=0xF000)
        self.us.ring()

    def _start(self, dice):
        self.us.start(srrctl=dice.choice((0x8200_0002, 0x0200_0001)))
        if dice.random() < 0.8:
            self.join(self.us)

    def _frame(self, dice):
        return self.cable.ends[1].send(frame(dice.choice((US, US, BROADCAST, GROUP)), length=dice.choice((14, 60, 1514))))

    def _neighbour(self, dice):
        """The neighbour at work: its frames arrive."""
        data = frame(PEER, THEM, 60, dice.randrange(200))
        self.them.send(data)
        assert self.got[-1:] == [data], "the neighbour's frame"
        self.them.heard()
        assert self.cable.ends[1].send(frame(THEM)) and frame(THEM) in self.them.heard(), "a frame for the neighbour"

    def _time(self, dice):
        self.later(dice.choice((1000, 100_000, 1_000_000, 3_000_000_000)))

    def _read(self, dice):
        register, size = dice.choice(REGISTERS), dice.choice((1, 2, 4))
        return register, self.us.nic.read(register + dice.choice((0, 0, 1)), size) & 0xFF

    def _reset(self, dice):
        if dice.random() < 0.5:
            self.us.write(r.CTRL, r.RESET)
        else:
            self.us.nic.reset()
            self.us.nic.interrupts.msix.unmask_all()

    def _table(self, dice):
        self.us.nic.interrupts.msix.write_table(dice.choice((0, 4, 8, 12, 16, 44, 48)), 4, number(dice, 32) & 0xFFFF_FFFF)

    def check(self):
        """Work, memory and time of the host's have an end; the neighbour is as it was; what left was allowed."""
        nic, driver = self.us.nic, self.nic.driver
        assert self._most <= MOST_MOVES, f"{self._most} transfers in one action"
        self.them.heard()
        assert self.neighbour() == self._before, "the neighbour's state"
        for data in self.got:
            _, vlan, _ = headers.untag(data)
            assert data[6:12] in (US, THEM), "a foreign source left the card"
            assert not vlan or vlan in self.vlans, "a VLAN that nobody asked for"
            assert 14 <= len(data) <= 1518
        self.got.clear()
        self.us.messages.clear()
        assert len(self.host.env.to_come()) < MOST_EVENTS, "events that nobody waits for"
        for ring in (*nic.receivers, *nic.transmitters):
            assert ring.base >> 64 == 0 and ring.base % 128 == 0 and all(0 <= each <= 0xFFFF_FFFF for each in ring.registers.values())
            assert ring.head <= 0xFFFF and not (ring.works and ring.head >= ring.entries)
        assert all(len(each._frame or b"") <= MOST for each in nic.transmitters)
        entries = sum(self.nic.card.read(r.VLVF + 4 * at, 4) >> r.VLVF_POOL_SHIFT & 1 for at in range(32))
        assert entries <= 16, "VLANs that the neighbour can't have any more"
        rules = self.nic.card.read(r.VMOLR, 4)
        assert rules & r.LONGEST <= MOST_BYTES and driver.vfs[0].address == US and len(driver.vfs[0].hashes) <= 30
        assert nic.interrupts.cause <= 7 and nic.interrupts.mask <= 7 and all(word <= 0xFFFF_FFFF for word in nic.mailbox.words)

    def end(self):
        """No byte behind the fence has changed, and after a reset an honest driver begins anew."""
        assert self.memory.whole.read(RAM, len(CANARY)) == CANARY
        self.us.nic.reset()
        fresh = self.us.nic.save()
        assert not any(fresh["mailbox"]["words"]) and not any(fresh["counts"]), "what the guest before has left"
        self.us.nic.interrupts.msix.unmask_all()
        self.later(3_000_000_000)
        self.join(self.us)
        self.got.clear()
        self.us.send(frame(PEER, US))
        assert self.got == [frame(PEER, US)]
        assert self.cable.ends[1].send(frame(US)) and self.us.heard() == [frame(US)]
        self.us.send(frame(THEM, US))
        assert self.them.heard() == [frame(THEM, US)]
