"""The card's own switch: which functions a frame is for, and whether it also goes to the wire.

A pool is a function's place on the switch, VF n's or the physical function's.  Who is wanted: all with BAM for a broadcast, those
whose address it is, those that take groups by their hash.  Of these only who has the frame's VLAN gets it.
Left out: the table of unicast hashes (UTA), promiscuous pools (ROPE), and filters by protocol.
Source: Intel 82576EB data sheet, 7.8.3 "Packet Switching"; the order as Linux's driver takes it for granted.
"""

from collections.abc import Mapping

from vmio.hardware.nic import registers as r
from vmio.machine.net import headers
from vmio.machine.net.frames import BROADCAST, FCS, is_group

POOLS = 8
VLANS = 32
ORDINARY = 1522                     # bytes of the longest frame where nothing longer is allowed, with tag and FCS


def group_hash(address: bytes) -> int:
    """Return the 12 bits of a group's address by which the card filters: its upper bits, with RCTL.MO 0."""
    return address[4] >> 4 | address[5] << 4


class Pools:
    """Reads `registers` ({offset: value}) of the physical function; `learn` after the tables were written."""

    def __init__(self, registers: Mapping[int, int]) -> None:
        self.registers = registers
        self.learn()

    def learn(self) -> None:
        """Take over the tables: addresses, VLANs, the rules of each pool."""
        self.addresses: dict[bytes, int] = {}          # pools that have it
        self.vlans: dict[int, int] = {}
        get = self.registers.get
        for at in r.ADDRESSES:
            low, high = get(at, 0), get(at + 4, 0)
            if high & r.ADDRESS_VALID:
                address = low.to_bytes(4, "little") + (high & 0xFFFF).to_bytes(2, "little")
                self.addresses[address] = self.addresses.get(address, 0) | high >> r.POOL_SHIFT & 0xFF
        for n in range(VLANS):
            entry = get(r.VLVF + 4 * n, 0)
            if entry & r.VLVF_VALID:
                self.vlans[entry & 0xFFF] = self.vlans.get(entry & 0xFFF, 0) | entry >> r.VLVF_POOL_SHIFT & 0xFF
        rules = [get(r.VMOLR + 4 * pool, 0) for pool in range(POOLS)]
        self.untagged, self.broadcasts, self.by_hash, self.all_groups, self.strips = (
            sum(1 << pool for pool, rule in enumerate(rules) if rule & bit)
            for bit in (r.UNTAGGED, r.BROADCASTS, r.GROUPS_BY_HASH, r.ALL_GROUPS, r.STRIP))
        self.longest = [rule & r.LONGEST if rule & r.LONG else ORDINARY for rule in rules]     # bytes with FCS

    @property
    def default(self) -> int:
        """The pool of frames from the wire that are nobody's: the physical function's."""
        return self.registers.get(r.VT_CTL, 0) >> r.DEFAULT_POOL_SHIFT & 7

    def spoofs(self, pool: int, frame: bytes) -> bool:
        """Return whether a pool sends what it may not: another's source address, or a VLAN that it isn't in."""
        guard = self.registers.get(r.DTXSWC, 0)
        if guard >> pool & 1 and not self.addresses.get(frame[6:12], 0) >> pool & 1:
            return True
        return bool(guard >> r.VLAN_SPOOF_SHIFT + pool & 1) and not self._in_vlan(frame) >> pool & 1

    def _in_vlan(self, frame: bytes) -> int:
        """The pools that may have a frame with this tag."""
        _, vlan, _ = headers.untag(frame)
        return self.vlans.get(vlan, 0) if vlan else self.untagged

    def wanted(self, frame: bytes, wire: bool) -> int:
        """Return the pools, as bits, that a frame from the `wire`, or from one of them, is for; those that are off are left out."""
        get = self.registers.get
        control = get(r.VT_CTL, 0)
        if not is_group(frame):
            pools = self.addresses.get(frame[:6], 0)
            if not pools and wire and not control & r.NO_DEFAULT_POOL:
                pools = 1 << self.default
        elif frame[:6] == BROADCAST:
            pools = self.broadcasts
        else:
            hashed = group_hash(frame)
            known = get(r.MTA + 4 * (hashed >> 5), 0) >> (hashed & 31) & 1
            pools = self.all_groups | (self.by_hash if known else 0)
        pools &= self._in_vlan(frame) & get(r.VFRE, 0)
        for pool in range(POOLS):
            if pools >> pool & 1 and len(frame) + FCS > self.longest[pool]:
                pools &= ~(1 << pool)
        return pools if control & r.REPLICATE else pools & -pools          # else one of them only
