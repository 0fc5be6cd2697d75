"""The host's driver for the physical function: what virtual ones may ask for, what they are told, what a flood costs; lending them out."""

import pytest
from tests.net_rig import GROUP, PEER, US, NetRig, frame
from tests.nic_rig import Vf

from vmio.hardware.nic import registers as r
from vmio.host.net.igb import ACK, CTS, LONGEST, MULTICAST, NACK, PROMISCUOUS, RESET, SET_MAC, VLAN
from vmio.host.net.nic import HostNic
from vmio.machine.net import headers
from vmio.machine.net.cable import Cable
from vmio.modes import Machine
from vmio.passthrough.assignment import AssignmentRefused, check_free

THEM, FREE = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])


class Rig:
    """A host's card with functions for US, THEM, and one that chooses its address itself; no guest has them."""

    def __init__(self, vlans=(0, 0, 0), **options):
        self.host, self.cable, self.got = Machine(memory_mib=16).host, Cable(), []
        self.nic = HostNic(self.host, self.cable.ends[0], [US, THEM, None], list(vlans), **options)
        self.cable.ends[1].connect(self)
        self.vfs = [Vf(nic, address) for nic, address in zip(self.nic.card.functions, (US, THEM, FREE))]
        self.later(1_000_000)

    def receive(self, data):
        self.got.append(data)
        return True

    def link_changed(self, up):
        pass

    def later(self, ns):
        self.host.env.run(until=self.host.env.now + ns)

    def ask(self, n, *words, answer=3):
        """A message, and what is answered; None for no answer."""
        vf = self.vfs[n]
        vf.read(r.V2P)
        vf.write(r.V2P, r.VF_USES)
        for at, word in enumerate(words):
            vf.write(r.MAIL + 4 * at, word)
        vf.write(r.V2P, r.REQUEST)
        self.later(100_000)
        if not vf.read(r.V2P) & r.PF_STATUS:
            return None
        vf.write(r.V2P, r.VF_USES)
        said = [vf.read(r.MAIL + 4 * at) for at in range(answer)]
        vf.write(r.V2P, r.ACK)
        return said

    def begin(self, n):
        self.ask(n, RESET)
        self.vfs[n].start()


def words(address):
    return int.from_bytes(address[:4], "little"), int.from_bytes(address[4:], "little")


def test_nothing_before_a_reset_and_then_the_address():
    rig = Rig()
    assert rig.ask(0, SET_MAC, *words(US))[0] == SET_MAC | NACK
    assert rig.ask(0, SET_MAC, *words(US)) is None          # within two seconds there is no other refusal
    assert rig.ask(0, RESET) == [RESET | ACK, *words(US)]
    assert rig.ask(2, RESET) == [RESET | NACK, 0, 0]
    assert rig.ask(0, SET_MAC, *words(US))[0] == SET_MAC | ACK | CTS
    rig.vfs[0].write(r.CTRL, r.RESET)
    rig.later(3_000_000_000)
    assert rig.ask(0, MULTICAST)[0] == MULTICAST | NACK     # a reset takes it all back


def test_addresses_that_may_be_had():
    rig = Rig()
    for n in range(3):
        rig.ask(n, RESET)
    for n, address, allowed in ((0, FREE, False), (2, US, False), (2, GROUP, False), (2, bytes(6), False), (2, FREE, True), (1, FREE, False)):
        said = rig.ask(n, SET_MAC, *words(address))[0]
        assert said == SET_MAC | CTS | (ACK if allowed else NACK), (n, address)
    assert rig.ask(0, SET_MAC | 1 << 16, 0, 0)[0] == SET_MAC | 1 << 16 | NACK | CTS
    rig.begin(2)
    assert rig.ask(2, SET_MAC, *words(FREE))[0] & ACK
    rig.vfs[2].send(frame(PEER, FREE))
    rig.vfs[2].send(frame(PEER, US))
    assert rig.got == [frame(PEER, FREE)]


def test_vlans_of_the_functions_own_choice():
    rig = Rig()
    rig.begin(0)
    rig.begin(1)
    tagged = headers.tag(frame(PEER, US), 7)
    rig.vfs[0].send(tagged)
    assert rig.got == []
    assert rig.ask(0, VLAN | 1 << 16, 7)[0] == VLAN | 1 << 16 | ACK | CTS
    rig.vfs[0].send(tagged)
    assert rig.got == [tagged] and rig.cable.ends[1].send(headers.tag(frame(US), 7)) and len(rig.vfs[0].heard()) == 1
    assert rig.ask(0, VLAN, 7)[0] & ACK
    rig.vfs[0].send(tagged)
    assert len(rig.got) == 1
    answers = [bool(rig.ask(0, VLAN | 1 << 16, 100 + n)[0] & ACK) for n in range(14)]
    assert answers == [True] * 10 + [False] * 4             # 32 entries for three functions
    assert rig.ask(1, VLAN | 1 << 16, 7)[0] & ACK


def test_a_vlan_of_the_hosts_choice():
    rig = Rig(vlans=(9, 0, 0))
    rig.begin(0)
    assert rig.ask(0, VLAN | 1 << 16, 7)[0] & NACK
    rig.vfs[0].send(frame(PEER, US))
    assert rig.got == [headers.tag(frame(PEER, US), 9)]
    assert rig.cable.ends[1].send(headers.tag(frame(US), 9)) and rig.cable.ends[1].send(frame(US))
    assert rig.vfs[0].heard() == [frame(US)]


def test_longest_frames_groups_and_promiscuous_mode():
    rig = Rig()
    rig.begin(0)
    for size, allowed in ((1522, True), (9728, True), (9729, False), (0xFFFF_FFFF, False)):
        assert bool(rig.ask(0, LONGEST, size)[0] & ACK) == allowed
    assert rig.nic.card.read(r.VMOLR, 4) & r.LONGEST == 9728
    assert rig.ask(0, LONGEST, 100)[0] & ACK and rig.cable.ends[1].send(frame(US, length=97)) and rig.vfs[0].heard() == []
    assert rig.ask(0, LONGEST, 1522)[0] & ACK
    assert rig.ask(0, MULTICAST | 1 << 16, 0x10)[0] == MULTICAST | 1 << 16 | ACK | CTS
    rig.cable.ends[1].send(frame(GROUP))
    assert rig.vfs[0].heard() == [frame(GROUP)]
    rig.ask(0, MULTICAST, 0)
    rig.cable.ends[1].send(frame(GROUP))
    assert rig.vfs[0].heard() == []
    assert rig.ask(0, PROMISCUOUS | 2 << 16)[0] & ACK
    rig.cable.ends[1].send(frame(GROUP))
    assert rig.vfs[0].heard() == [frame(GROUP)]
    assert rig.ask(0, PROMISCUOUS | 1 << 16)[0] & NACK and rig.ask(0, 9)[0] == 9 | NACK | CTS


def test_a_flood_of_messages_costs_no_more_than_one_look_after_another():
    rig = Rig()
    rig.begin(0)
    rig.later(1_000_000)
    before, began = rig.nic.driver.turns, rig.host.env.now
    for _ in range(10_000):
        rig.vfs[0].write(r.V2P, r.REQUEST)
    rig.later(1_000_000)
    assert rig.nic.driver.turns - before == 2               # one for all, and one for what came while the vector was masked
    for _ in range(1000):
        rig.vfs[0].write(r.V2P, r.REQUEST)
        rig.later(100)
    spent = rig.host.env.now - began - 1_000_000
    assert 1 < rig.nic.driver.turns - before <= 2 + spent // rig.host.costs.host_request_ns
    assert rig.ask(1, RESET) == [RESET | ACK, *words(THEM)]      # the neighbour is heard meanwhile


def test_a_function_that_keeps_the_buffer_keeps_nobody_else_waiting():
    rig = Rig()
    rig.vfs[0].write(r.V2P, r.VF_USES)
    rig.vfs[0].write(r.V2P, r.REQUEST | r.VF_USES)
    rig.later(1_000_000)
    assert not rig.vfs[0].read(r.V2P) & r.PF_STATUS
    assert rig.ask(1, RESET) == [RESET | ACK, *words(THEM)]


def test_without_a_guard_other_sources_leave():
    rig = Rig(spoofing=True)
    rig.begin(0)
    rig.vfs[0].send(frame(PEER, FREE))
    assert rig.got == [frame(PEER, FREE)]


def test_what_no_card_can_have():
    host = Machine(memory_mib=16).host
    for addresses, why in (([], "network card: 0; 1 to 7"), ([None] * 8, "network card: 8; 1 to 7"), ([US, US], "two cards have it"),
                           ([GROUP], "a group's")):
        with pytest.raises(ValueError, match=why):
            HostNic(host, Cable().ends[0], addresses)


def test_lent_taken_back_and_the_physical_function_never():
    rig = NetRig("passthrough")
    lent, nic = rig.guest.attachments[0].lent, rig.guest.attachments[0].nic

    def program(cpu, driver):
        yield from cpu.pay()
        driver.send(frame(PEER, US))
    rig.run(program)
    assert rig.station.heard == [frame(PEER, US)]
    lent.take_back()
    vf = lent.function.device
    assert not any(vf.mailbox.words) and not any(vf.counts.values()) and not vf.transmitters[0].enabled
    with pytest.raises(AssignmentRefused, match="has virtual functions"):
        check_free(nic.function, rig.guest.guest, "injected")
