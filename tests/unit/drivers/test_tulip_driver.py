"""The Tulip's driver: what it finds out, each access as Linux makes it, rings that are full, links that go, chips that stop."""

import pytest
from tests.net_rig import BROADCAST, GROUP, PEER, US, NetRig, frame

from vmio.devices.net.tulip import bits as b
from vmio.devices.net.tulip.chips import CHIPS
from vmio.devices.net.tulip.srom_image import image
from vmio.drivers.errors import DriverError
from vmio.drivers.tulip import RX_ENTRIES, TX_ENTRIES
from vmio.drivers.tulip_moderation import Moderation
from vmio.drivers.tulip_start import Leaf

def registers(rig):
    """Let `rig.card` note all accesses; returns the list."""
    seen, card = [], rig.card
    read, write = card._read, card._write

    def reading(number):
        value = read(number)
        seen.append(("R", number, value))
        return value

    def writing(number, value):
        seen.append(("W", number, value))
        write(number, value)
    card._read, card._write = reading, writing
    return seen


def test_what_it_finds_out_and_how_dearly():
    rig = NetRig()
    seen = registers(rig)

    def program(cpu, driver):
        yield from cpu.pay()
        return driver.address, driver.phy
    assert rig.run(program) == (US, 1)
    # Writes and reads of Linux 6.1's own driver: 64 words of the ROM; a PHY that isn't at address 0, ten times, twice; 34 reads of PHYs and
    # two writes; one write.
    assert sum(number == 9 for _, number, _ in seen) == 3716 + 5254 + 2 * (1360 + 1550) + 4892 + 5538 + 134 + 134
    others = [(op, number, value) for op, number, value in seen if number != 9]
    opened = others.index(("W", 6, b.PS))
    assert [each[:2] for each in others[:opened]] == [("R", 6), ("R", 8), ("W", 12), ("R", 12), ("R", 12), ("W", 12)]
    after = [each for each in others[opened:] if each[1] not in (3, 4)]
    looks = [("R", 5, 0xFC670004), ("W", 5, 0x10004), ("R", 5, 0xFC660000), ("R", 8, 0xE0000000)]      # an interrupt: nothing more to send
    assert after == [("W", 6, b.PS), ("W", 0, 1), ("W", 0, 0x1A08000), ("W", 12, 0x100), ("R", 12, 0xFFFFFE00), ("R", 12, 0xFFFFFE00),
                     ("R", 6, 0x32000040), ("W", 6, 0x20E2000), ("W", 5, 0x1EBEF), ("W", 7, 0x1EBEF), ("W", 6, 0x20E2002), *looks,
                     ("R", 6, 0x20E2002), ("W", 2, 0), ("R", 6, 0x20E2002), ("W", 1, 0), ("W", 6, 0x20E2082), *looks]


def test_the_accesses_of_one_frame_out_and_of_one_in():
    rig = NetRig()
    seen = registers(rig)

    def program(cpu, driver):
        seen.clear()
        assert driver.send(frame(PEER, US))
        while driver.pending:
            yield from driver.wait()
        out = list(seen)
        seen.clear()
        rig.station.say(frame())
        while not (got := driver.reap()):
            yield from driver.wait()
        return out, list(seen), got
    out, back, got = rig.run(program)
    assert rig.station.heard == [frame(PEER, US)] and got == [frame()]
    assert out == [("W", 1, 0), ("R", 5, 0xFC670004), ("W", 5, 0x10004), ("R", 5, 0xFC660000), ("R", 8, 0xE0000000)]
    assert back == [("R", 5, 0xFC670040), ("W", 7, 0x1E82F), ("W", 5, 0x10000), ("R", 5, 0xFC660040), ("R", 8, 0xE0000000),
                    ("R", 5, 0xFC660040), ("W", 5, 0xC0), ("R", 5, 0xFC660000), ("W", 7, 0x1EBEF)]


def test_a_frame_with_its_answer_in_one_interrupt():
    rig = NetRig(pace="instant")
    answer, heard = frame(), rig.station.receive
    rig.station.receive = lambda data: heard(data) and rig.station.end.send(answer)

    def program(cpu, driver):
        seen = registers(rig)
        driver.send(frame(PEER, US))
        while not (got := driver.reap()):
            yield from driver.wait()
        return seen, got
    seen, got = rig.run(program)
    assert got == [answer] and len(seen) == 10       # as counted of Linux on QEMU: 5 reads and 5 writes a ping
    assert [each[:2] for each in seen] == [("W", 1), ("R", 5), ("W", 7), ("W", 5), ("R", 5), ("R", 8), ("R", 5), ("W", 5), ("R", 5), ("W", 7)]


def test_many_frames_both_ways():
    rig = NetRig()
    out, back = [[frame(to, source, 42 + n * 4, n) for n in range(300)] for to, source in ((PEER, US), (US, PEER))]

    def program(cpu, driver):
        rig.station.say(*back, gap=30_000)
        got = []
        for data in out:
            while not driver.send(data):
                yield from driver.wait()
                got += driver.reap()
        while driver.pending or len(got) < len(back):
            yield from driver.wait()
            got += driver.reap()
        return got, driver.missed, driver.errors
    assert rig.run(program) == (back, 0, 0)
    assert rig.station.heard == out and rig.station.lost == 0


def test_a_full_ring_takes_no_more():
    rig = NetRig()

    def program(cpu, driver):
        cpu.cli()
        taken = [driver.send(frame(PEER, US, seed=n)) for n in range(40)]
        cpu.sti()
        while driver.pending:
            yield from driver.wait()
        return taken
    assert rig.run(program) == [True] * (TX_ENTRIES - 2) + [False] * 10
    assert len(rig.station.heard) == TX_ENTRIES - 2


def test_frames_that_it_wants_and_frames_that_it_does_not():
    rig = NetRig()
    wanted = [frame(US), frame(BROADCAST), frame(GROUP)]

    def program(cpu, driver):
        rig.station.say(wanted[0], frame(PEER), wanted[1], frame(bytes([2, 0, 0, 0, 0, 9])), wanted[2])
        got = []
        while len(got) < 3:
            yield from driver.wait()
            got += driver.reap()
        return got
    assert rig.run(program) == wanted


def test_a_driver_that_does_not_refill_misses_frames_and_goes_on():
    rig = NetRig()
    many = [frame(seed=n) for n in range(RX_ENTRIES + 40)]

    def program(cpu, driver):
        rig.station.say(*many)
        yield from cpu.hlt()                 # the first interrupt asks for a poll,
        yield from cpu.hlt(3_000_000)        # which doesn't come
        got = []
        while len(got) < RX_ENTRIES:
            yield from driver.wait()
            got += driver.reap()
        rig.station.say(frame(seed=99))
        while not (last := driver.reap()):
            yield from driver.wait()
        return got, last, driver.missed + rig.card.receiver.missed
    assert rig.run(program) == (many[:RX_ENTRIES], [frame(seed=99)], 40)
    assert rig.station.lost == 40


def test_jabber_and_the_driver_that_starts_again():
    rig = NetRig()

    def program(cpu, driver):
        buffer = driver._tx_buffers
        driver._put(b.T_FS | 1500, buffer, b.OWN)
        driver._put(1500, buffer, b.OWN)
        driver.csr(1, 0)
        while driver.pending:
            yield from driver.wait()
        driver.send(frame(PEER, US))
        while driver.pending:
            yield from driver.wait()
    rig.run(program)
    assert rig.station.heard == [frame(PEER, US)]


def test_what_it_refuses():
    rig = NetRig()

    def program(cpu, driver):
        driver.send(bytes(1515))
        yield from cpu.pay()
    with pytest.raises(DriverError, match="Tulip: a frame of 1515 bytes; at most 1514"):
        rig.run(program)
    with pytest.raises(DriverError, match="a 21140A can't hold interrupts back; a 21143 can"):
        NetRig(moderation=Moderation(frames=2)).run(lambda cpu, driver: None)
    with pytest.raises(ValueError, match="moderation 8 frames, 0 us: at most 7 and 1,228"):
        Moderation(frames=8)


@pytest.mark.parametrize(("change", "said"), [
    (lambda rom: rom.__setitem__(27, 0x7F), "ends within the info leaf at 0x7f"),
    (lambda rom: rom.__setitem__(0x1E + 3, 0), "describes no MII; 0 blocks"),
    (lambda rom: rom.__setitem__(0x1E + 5, 2), "describes no MII; 1 blocks"),
    (lambda rom: rom.__setitem__(0x1E + 7, 200), "ends within the info leaf")])
def test_a_rom_that_is_damaged(change, said):
    rom = bytearray(image(CHIPS["21140A"], US)[:126])
    assert Leaf(bytes(rom)).advertised == 0x01E1
    change(rom)
    with pytest.raises(DriverError, match=said):
        Leaf(bytes(rom))


def test_no_phy_at_all():
    rig = NetRig()
    rig.card.mii.registers[1] = 0
    with pytest.raises(DriverError, match="no PHY answers at any of 32 addresses"):
        rig.run(lambda cpu, driver: None)


def test_a_run_goes_on_from_a_checkpoint_at_any_step():
    out = [frame(PEER, US, 60 + n, n) for n in range(20)]

    def program(cpu, driver):
        for data in out:
            while not driver.send(data):
                yield from driver.wait()
        while driver.pending:
            yield from driver.wait()
        return cpu.now, driver.sent

    def now(cpu, driver):
        yield from cpu.pay()
        return cpu.now
    begun = NetRig().run(now)                # when the card is up
    whole = NetRig(checkpoints=True)
    run, states = whole.machine.start((whole.guest, program)), []
    while run.step(10_000 if whole.machine.host.env.now >= begun - 1_000_000 else 1_000_000):
        if 0 < len(whole.station.heard) < 20 or not states:
            states.append((whole.machine.save(), len(whole.station.heard)))
    told = run.to_the_end()
    assert whole.station.heard == out and len({heard for _, heard in states}) > 4
    for state, heard in states[::max(1, len(states) // 6)]:
        other = NetRig(checkpoints=True)
        assert other.machine.restore(state, (other.guest, program)).to_the_end() == told
        assert other.station.heard == out[heard:]


def test_a_21143_is_brought_up_by_its_own_registers():
    rig = NetRig(chip="21143")
    seen = registers(rig)

    def program(cpu, driver):
        assert driver.send(frame(PEER, US))
        rig.station.say(frame())
        while not (got := driver.reap()) or driver.pending:
            yield from driver.wait()
        return driver.address, driver.phy, got
    assert rig.run(program) == (US, 1, [frame()]) and rig.station.heard == [frame(PEER, US)]
    others = [(op, number) for op, number, _ in seen if number != 9]
    assert ("W", 12) not in others and {("W", 13), ("W", 14), ("R", 15)} <= set(others) and ("W", 11) not in others
    assert ("W", 7, 0x0801FBFF) in seen
    leaf = Leaf(image(CHIPS["21143"], US), "21143")
    assert (leaf.setup, leaf.reset, leaf.advertised, leaf.phy) == ([], [], 0x1E1, 0)


def test_what_a_21143_is_told_to_hold_back():
    for us, units, unit in ((0, 0, 0), (1, 1, 1), (76, 15, 1), (77, 1, 0), (82, 2, 0), (1228, 15, 0)):
        value = Moderation(5, us).register
        assert (value >> b.RX_TIME & 15, value >> 31, value >> b.RX_FRAMES & 7) == (units, unit, 5)
    rig = NetRig(chip="21143", moderation=Moderation(4, 500))
    seen = registers(rig)

    def program(cpu, driver):
        before = cpu.interrupts
        rig.station.say(*[frame(seed=n) for n in range(8)])
        got = []
        while len(got) < 8:
            yield from driver.wait()
            got += driver.reap()
        return cpu.interrupts - before, driver.polls, got
    assert rig.run(program) == (2, 2, [frame(seed=n) for n in range(8)])
    assert [value for op, number, value in seen if (op, number) == ("W", 11)] == [Moderation(4, 500).register]


def test_a_driver_that_adapts():
    rig = NetRig(chip="21143", moderation=Moderation(adaptive=True))
    seen = registers(rig)

    def program(cpu, driver):
        rig.station.say(*[frame(seed=n, length=60) for n in range(300)], gap=30_000)
        got = 0
        while got < 300:
            yield from driver.wait()
            got += len(driver.reap())
        return driver._dim.level
    level = rig.run(program)
    told = [value for op, number, value in seen if (op, number) == ("W", 11)]
    assert told[0] == Moderation(7, 8).register and len(told) >= 2 and told[-1] == Moderation(7, (1, 8, 64, 128, 256)[level]).register


def test_a_budget_gives_the_guest_its_turn_with_interrupts_masked():
    rig = NetRig(budget=5)

    def program(cpu, driver):
        yield from cpu.pay()
        cpu.cli()
        rig.station.say(*[frame(seed=n) for n in range(12)], gap=1)
        yield from cpu.hlt(watchdog_ns=100_000)
        cpu.sti()
        turns, masked = [], []
        while sum(turns) < 12:
            yield from driver.wait()
            turns.append(len(driver.reap()))
            masked.append(not rig.card.status.enabled & b.RI)
        return turns, masked, cpu.interrupts
    turns, masked, _ = rig.run(program)
    assert turns == [5, 5, 2] and masked == [True, True, False]
