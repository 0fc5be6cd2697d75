"""The host's driver for the physical function of an 82576: it serves the mailboxes of virtual ones, by Linux's rules.

Nothing but RESET is heard before a virtual function has been reset; the answer then carries the address that the host has given
it, and from then on everything has CTS.  What a function asks for is looked at in a private copy of its 16 words, and refused with
NACK if the host has decided otherwise: another address, a VLAN, a frame longer than the card can, promiscuous mode.

A function that floods its mailbox keeps the driver busy for `host_request_ns` each time, and nobody waits for it longer: all
mailboxes are looked at in one turn, one message of each.
Source: Linux, drivers/net/ethernet/intel/igb/igb_main.c (igb_msg_task, igb_rcv_msg_from_vf, igb_vf_reset_msg), e1000_mbx.c.
"""

from collections import Counter
from collections.abc import Sequence

from simpy.events import Event

from vmio.hardware.nic import registers as r
from vmio.hardware.nic.adapter import Adapter82576
from vmio.hardware.nic.mailbox import WORDS
from vmio.hypervisor.contracts import Root
from vmio.hypervisor.hostcpu import HostCpu
from vmio.machine.net.frames import is_group

ACK, NACK, CTS = 1 << 31, 1 << 30, 1 << 29                      # of a message's first word
INFO_SHIFT, TYPE_MASK = 16, 0xFFFF
RESET, SET_MAC, MULTICAST, VLAN, LONGEST, PROMISCUOUS, CONTROL = 1, 2, 3, 4, 5, 6, 0x0100
ALL_GROUPS = 2                      # of PROMISCUOUS' info
MOST_HASHES, MOST_BYTES = 30, 9728
QUIET_NS = 2_000_000_000            # between two refusals of what isn't CTS
OTHER_VECTOR = 0


class Vf:
    """What the driver knows of one: the `address` that the host gave it, or None, and a VLAN of the host's, or 0."""

    def __init__(self, address: bytes | None, vlan: int) -> None:
        self.given, self.address, self.vlan = address, address, vlan
        self.clear_to_send = self.parked = False
        self.hashes: list[int] = []
        self.refused_at = -QUIET_NS


class Igb:
    """Drives the card whose registers are at `base` for `cpu`; `vfs` are (address or None, VLAN) of each virtual function.

    `spoofing` lets them send with foreign addresses and VLANs.  `heard` counts messages by type, `refused` those with NACK.
    """

    def __init__(self, host: Root, cpu: HostCpu, base: int, card: Adapter82576, vfs: Sequence[tuple[bytes | None, int]],
                 spoofing: bool = False) -> None:
        self.host, self.cpu, self.base, self.card, self.spoofing = host, cpu, base, card, spoofing
        self.vfs = [Vf(address, vlan) for address, vlan in vfs]
        self.heard: Counter[int] = Counter()
        self.refused: Counter[int] = Counter()
        self.turns = 0
        self._coming = False

    def read(self, register: int) -> int:
        """Read a register."""
        return self.cpu.load(self.base + register, 4)

    def write(self, register: int, value: int) -> None:
        """Write one."""
        self.cpu.store(self.base + register, 4, value & 0xFFFF_FFFF)

    def start(self) -> None:
        """Reset the card, set its switch up, and let virtual functions begin; interrupts come to `interrupt`."""
        own = len(self.vfs)
        self.write(r.CTRL, r.RESET)
        self.write(r.VT_CTL, own << r.DEFAULT_POOL_SHIFT | r.REPLICATE)
        everybody = (1 << own) - 1
        self.write(r.DTXSWC, r.LOOPBACK | (0 if self.spoofing else everybody | everybody << r.VLAN_SPOOF_SHIFT))
        self.write(r.VMOLR + 4 * own, r.UNTAGGED | r.BROADCASTS | r.ALL_GROUPS)
        self.write(r.VFTE, 1 << own)
        self.write(r.VFRE, 1 << own)
        for n, vf in enumerate(self.vfs):
            self._forget(n, vf)
        self.write(r.IVAR_MISC, (r.VALID | OTHER_VECTOR) << r.OTHER_SHIFT)
        self.write(r.EIAC, 1 << OTHER_VECTOR)
        self.write(r.EIAM, 1 << OTHER_VECTOR)
        self.write(r.MBVFIMR, everybody)
        self.write(r.IMS, r.MAILBOX | r.LINK_CHANGED)
        self.write(r.EIMS, 1 << OTHER_VECTOR)
        self.write(r.CTRL_EXT, r.RESET_IS_DONE)

    def let_go(self, reason: str) -> None:
        """Always ValueError: without the physical function no virtual one goes on."""
        raise ValueError("its driver serves the virtual functions and the host's own network")

    def interrupt(self) -> None:
        """The card's message has come: the work is done as soon as the host gets to it."""
        if not self._coming:
            self._coming = True
            self.host.at(self.host.env.now + self.host.costs.host_request_ns, self._work)

    def _work(self, _event: Event) -> None:
        self._coming = False
        self.turns += 1
        cause = self.read(r.ICR)
        if cause & r.LINK_CHANGED:
            self.ping()
        for n, vf in enumerate(self.vfs):
            bit = 1 << n
            if self.read(r.VFLRE) & bit:
                self.write(r.VFLRE, bit)
                vf.clear_to_send = False
                self._forget(n, vf)
            asked = self.read(r.MBVFICR) & (bit | bit << r.ACK_SHIFT)
            self.write(r.MBVFICR, asked)
            if asked & bit:
                self._message(n, vf)
            elif asked and not vf.clear_to_send and self._may_refuse(vf):
                self._say(n, NACK)
        self.write(r.EIMS, 1 << OTHER_VECTOR)

    def park(self, n: int, parked: bool) -> None:
        """Let frames for VF n come to the physical function (a guest whose split card has them), or to the VF itself."""
        vf = self.vfs[n]
        vf.parked = parked
        self._set_address(n, vf, vf.address)
        self._set_rules(n, vf, self.read(r.VMOLR + 4 * n))

    def _set_rules(self, n: int, vf: Vf, rules: int) -> None:
        """Which groups' frames a function gets; none while it is parked."""
        rules &= ~(r.BROADCASTS | r.GROUPS_BY_HASH)
        wanted = 0 if vf.parked else r.BROADCASTS | (r.GROUPS_BY_HASH if vf.hashes else 0)
        self.write(r.VMOLR + 4 * n, rules | wanted)

    # Messages.

    def ping(self) -> None:
        """Tell all that something has changed: the link, or whether the card is up."""
        for n, vf in enumerate(self.vfs):
            self._say(n, CONTROL | (CTS if vf.clear_to_send else 0))

    def _say(self, n: int, *words: int) -> None:
        """Put a message into VF n's mailbox, unless the VF has it."""
        self.write(r.P2V + 4 * n, r.PF_USES)
        if not self.read(r.P2V + 4 * n) & r.PF_USES:
            return
        for at, word in enumerate(words):
            self.write(r.MAIL + 0x40 * n + 4 * at, word)
        self.write(r.P2V + 4 * n, r.STATUS_READY)

    def _message(self, n: int, vf: Vf) -> None:
        """Hear one, and answer it."""
        self.write(r.P2V + 4 * n, r.PF_USES)
        if not self.read(r.P2V + 4 * n) & r.PF_USES:
            return
        words = [self.read(r.MAIL + 0x40 * n + 4 * at) for at in range(WORDS)]
        self.write(r.P2V + 4 * n, r.PF_USES | r.ACK)
        first = words[0]
        if first & (ACK | NACK):
            self.write(r.P2V + 4 * n, 0)    # nothing new: it is an answer of ours
            return
        kind = first & TYPE_MASK
        self.heard[kind] += 1
        if kind == RESET:
            self._begin(n, vf)
            return
        if not vf.clear_to_send:
            if self._may_refuse(vf):
                self.refused[kind] += 1
                self._say(n, first | NACK)
            else:
                self.write(r.P2V + 4 * n, 0)
            return
        method = self._METHODS.get(kind)
        done = method is not None and method(self, n, vf, first >> INFO_SHIFT & 0xFF, words)
        self.refused[kind] += not done
        self._say(n, first | CTS | (ACK if done else NACK))

    def _may_refuse(self, vf: Vf) -> bool:
        """A refusal each two seconds is enough."""
        if self.host.env.now < vf.refused_at + QUIET_NS:
            return False
        vf.refused_at = self.host.env.now
        return True

    def _begin(self, n: int, vf: Vf) -> None:
        """RESET: the function begins anew, may send and receive, and hears its address."""
        self._forget(n, vf)
        bit = 1 << n
        self.write(r.VFTE, self.read(r.VFTE) | bit)
        self.write(r.VFRE, self.read(r.VFRE) | bit)
        vf.clear_to_send = True
        address = vf.given or bytes(6)
        self._say(n, RESET | (ACK if vf.given else NACK), int.from_bytes(address[:4], "little"), int.from_bytes(address[4:], "little"))

    def _forget(self, n: int, vf: Vf) -> None:
        """Take back what a function has asked for."""
        vf.hashes = []
        self._set_groups()
        self._set_address(n, vf, vf.given)
        for at in range(r.VLVF, r.VLVF + 0x80, 4):
            entry = self.read(at)
            if entry >> r.VLVF_POOL_SHIFT >> n & 1:
                self._set_pools(at, entry & ~(1 << n + r.VLVF_POOL_SHIFT))
        self.write(r.VMVIR + 4 * n, vf.vlan | r.ALWAYS_INSERT if vf.vlan else 0)
        self._set_rules(n, vf, r.STRIP if vf.vlan else r.UNTAGGED)
        if vf.vlan:
            self._join(n, vf.vlan)

    def _set_address(self, n: int, vf: Vf, address: bytes | None) -> None:
        vf.address = address
        low, high = (int.from_bytes(part, "little") for part in ((address or bytes(6))[:4], (address or bytes(6))[4:]))
        self.write(r.ADDRESSES[-1 - n], low)
        self.write(r.ADDRESSES[-1 - n] + 4, high | r.ADDRESS_VALID | 1 << r.POOL_SHIFT + (len(self.vfs) if vf.parked else n) if address else 0)

    def _set_groups(self) -> None:
        """The table of hashes is all functions' together."""
        table = [0] * 128
        for vf in self.vfs:
            for each in vf.hashes:
                table[each >> 5] |= 1 << (each & 31)
        for at, word in enumerate(table):
            if self.read(r.MTA + 4 * at) != word:
                self.write(r.MTA + 4 * at, word)

    def _set_mac(self, n: int, vf: Vf, info: int, words: list[int]) -> bool:
        address = words[1].to_bytes(4, "little") + (words[2] & 0xFFFF).to_bytes(2, "little")
        taken = any(other is not vf and other.address == address for other in self.vfs)
        if info or is_group(address) or not any(address) or taken or vf.given not in (None, address):
            return False
        self._set_address(n, vf, address)
        return True

    def _multicast(self, n: int, vf: Vf, info: int, words: list[int]) -> bool:
        halves = [half for word in words[1:] for half in (word & 0xFFFF, word >> 16)]
        vf.hashes = [half & 0xFFF for half in halves[:min(info, MOST_HASHES)]]
        self._set_groups()
        self._set_rules(n, vf, self.read(r.VMOLR + 4 * n))
        return True

    def _vlan(self, n: int, vf: Vf, info: int, words: list[int]) -> bool:
        vlan = words[1] & 0xFFF
        if vf.vlan:
            return False
        return self._join(n, vlan) if info else self._leave(n, vlan)

    def _join(self, n: int, vlan: int) -> bool:
        """Put a pool into a VLAN; False: the table is full."""
        if not vlan:
            return True                     # untagged frames are a rule of their own
        places = list(range(r.VLVF, r.VLVF + 0x80, 4))
        for at in places:
            entry = self.read(at)
            if entry & r.VLVF_VALID and entry & 0xFFF == vlan:
                self._set_pools(at, entry | 1 << n + r.VLVF_POOL_SHIFT)
                return True
        # One function may not take what the others need.
        mine = sum(self.read(at) >> r.VLVF_POOL_SHIFT >> n & 1 for at in places)
        free = next((at for at in places if not self.read(at) & r.VLVF_VALID), None)
        if free is None or mine >= len(places) // max(len(self.vfs), 1):
            return False
        self._set_pools(free, vlan | r.VLVF_VALID | 1 << n + r.VLVF_POOL_SHIFT)
        return True

    def _leave(self, n: int, vlan: int) -> bool:
        for at in range(r.VLVF, r.VLVF + 0x80, 4):
            entry = self.read(at)
            if entry & r.VLVF_VALID and entry & 0xFFF == vlan:
                self._set_pools(at, entry & ~(1 << n + r.VLVF_POOL_SHIFT))
        return True

    def _set_pools(self, at: int, entry: int) -> None:
        """Write an entry of the VLAN table, which goes when nobody is in it."""
        self.write(at, entry if entry >> r.VLVF_POOL_SHIFT & 0xFF else 0)

    def _longest(self, n: int, vf: Vf, info: int, words: list[int]) -> bool:
        if words[1] > MOST_BYTES:
            return False
        rules = self.read(r.VMOLR + 4 * n) & ~r.LONGEST
        self.write(r.VMOLR + 4 * n, rules | words[1] | r.LONG)
        return True

    def _promiscuous(self, n: int, vf: Vf, info: int, words: list[int]) -> bool:
        """All groups' frames a function may have; all others' it may not."""
        rules = self.read(r.VMOLR + 4 * n) & ~r.ALL_GROUPS
        self.write(r.VMOLR + 4 * n, rules | (r.ALL_GROUPS if info & ALL_GROUPS else 0))
        return not info & ~ALL_GROUPS

    _METHODS = {SET_MAC: _set_mac, MULTICAST: _multicast, VLAN: _vlan, LONGEST: _longest, PROMISCUOUS: _promiscuous}
