"""A device that is no disk, given to a guest over vPCI: `edu` computes, moves data and interrupts; taken back, it is as new."""

import pytest

from tests.edu_rig import LOW, VECTOR, EduRig, driver_of, find
from tests.passthrough_rig import MMIO
from vmio.hardware import edu
from vmio.hardware.edu_pci import MSI, EduFunction
from vmio.machine.clock import Clock
from vmio.passthrough import virtual
from vmio.passthrough.iommu.faults import Reason

HERE, THERE = 0x30_0000, 0x30_2000


def test_a_guest_computes_moves_data_and_is_interrupted():
    rig = EduRig()
    rig.assign()

    def program(cpu):
        driver = yield from driver_of(cpu)
        value = yield from driver.factorial(10)
        cpu.write(HERE + 0xFF0, b"across two pages, by IOVA")
        yield from driver.transfer(HERE + 0xFF0, edu.BUFFER, 25, 0)
        yield from driver.transfer(edu.BUFFER, THERE, 25, edu.TO_MEMORY)
        return value, cpu.read(THERE, 25), driver.seen, driver.bar
    value, data, seen, bar = rig.run(program)
    assert value == 3628800 and data == b"across two pages, by IOVA" and bar == LOW
    assert seen == [edu.FACTORIAL_DONE, edu.DMA_DONE, edu.DMA_DONE]
    assert rig.function.pci.messages == 3 and rig.function.pci.blocked == 0 and not rig.iommu.faults.counts
    assert rig.guests[0].ram_spa(HERE) != HERE, "the device was given guest-physical addresses"
    assert rig.host.env.now >= 2 * edu.DMA_NS


def test_its_registers_do_not_exit():
    """edu has no MSI-X table: nothing of its BAR is watched, and a register of 8 bytes is one access."""
    rig = EduRig()
    rig.assign()
    assert rig.function.parts(0) == [(0, edu.BAR_BYTES, True)]

    def program(cpu):
        function = yield from find(cpu)
        before = cpu.exits.total
        cpu.store(function.bar(0) + edu.SOURCE, 8, 0x1234_5678_9ABC)
        return cpu.load(function.bar(0) + edu.SOURCE, 8), cpu.exits.total - before
    assert rig.run(program) == (0x1234_5678_9ABC, 0)


def test_dma_outside_of_the_guest_is_a_fault_and_moves_nothing():
    rig = EduRig()
    secret = rig.guests[1].ram_spa(0)
    rig.host.memory.write(secret, b"secret" * 100)
    rig.assign()

    def program(cpu):
        driver = yield from driver_of(cpu)
        cpu.write(HERE, b"\x11" * 64)
        yield from driver.transfer(HERE, edu.BUFFER, 64, 0)
        for address in (rig.guests[0].ram, secret):
            yield from driver.transfer(address, edu.BUFFER, 64, 0)
            yield from driver.transfer(edu.BUFFER, address, 64, edu.TO_MEMORY)
        yield from driver.transfer(edu.BUFFER, HERE, 64, edu.TO_MEMORY)
        return cpu.read(HERE, 64)
    assert rig.run(program) == bytes(64)            # what was refused reads as zeros
    assert rig.host.memory.read(secret, 12) == b"secretsecret"
    assert rig.device.faults == 4 and rig.iommu.faults.counts == {Reason.READ: 2, Reason.WRITE: 2}


def test_a_message_that_is_not_its_own_reaches_nobody():
    rig = EduRig()
    foreign = rig.router.create(0x99, rig.guests[1].cpu, 0x80)
    rig.assign()

    def program(cpu):
        driver = yield from driver_of(cpu)
        for address in (foreign[0], 0xFEE0_0000, HERE):
            driver.function.write(MSI + 4, 4, address)
            cpu.store(driver.bar + edu.RAISE, 4, 2)
        return driver.seen, cpu.read(HERE, 4)
    seen, written = rig.run(program)
    assert seen == [] and rig.function.pci.blocked == 2 and rig.guests[1].cpu.apic.irr == 0
    assert written == rig.guests[0].memory.read(HERE, 4) and int.from_bytes(written, "little") == 0   # a store to its own RAM


@pytest.mark.parametrize("base, answers", [
    (0, False), (0x10_0000, False), (LOW + (1 << 20), True), (0xFFF0_0000, False), (0xFFE0_0000, True)])
def test_a_bar_answers_where_nobody_else_does(base, answers):
    """Not over RAM, not at 0, not at the end of what 32 bits hold."""
    rig = EduRig()
    rig.assign()

    def program(cpu):
        function = yield from find(cpu)
        cpu.write(0x10_0000, b"\xA5" * 16)
        function.write(0x04, 2, 0)
        function.write(0x10, 4, base)
        function.write(0x04, 2, 6)
        return [region.base for region in rig.guests[0].direct.regions], cpu.read(0x10_0000, 16)
    bases, ram = rig.run(program)
    assert bases == ([base] if answers else []) and ram == b"\xA5" * 16


def test_taken_back_in_the_middle_of_a_transfer_it_is_as_new():
    rig = EduRig()
    lent = rig.assign()

    def program(cpu):
        driver = yield from driver_of(cpu)
        cpu.write(HERE, b"secret of the first guest")
        yield from driver.transfer(HERE, edu.BUFFER, 25, 0)
        for register, value in ((edu.SOURCE, edu.BUFFER), (edu.DESTINATION, THERE), (edu.COUNT, 25),
                                (edu.COMMAND, edu.RUN | edu.TO_MEMORY | edu.INTERRUPT)):
            cpu.store(driver.bar + register, 8, value)
        rig.host.env.timeout(1000).callbacks.append(lambda _: lent.take_back())
        yield from cpu.hlt(2 * edu.DMA_NS)
        return driver.seen, cpu.read(THERE, 25), cpu.load(driver.bar, 4)
    seen, data, identity = rig.run(program)
    assert seen == [edu.DMA_DONE] and data == bytes(25) and identity == 0xFFFF_FFFF
    fresh = EduFunction(edu.Edu(Clock(), rig.host.memory))
    assert rig.device.save() == fresh.device.save() and rig.function.pci.save() == fresh.save()
    assert not rig.router.owners and rig.iommu.owner(rig.function.requester) is None and not rig.guests[0].direct.regions
    rig.assign(1)               # a reset clears all that it holds: nothing has to be erased

    def honest(cpu):
        driver = yield from driver_of(cpu)
        yield from driver.transfer(edu.BUFFER, HERE, 25, edu.TO_MEMORY)
        return cpu.read(HERE, 25), (yield from driver.factorial(5))
    assert rig.run(honest, 1) == (bytes(25), 120)


def test_a_reset_by_the_guest_keeps_its_place():
    rig = EduRig()
    lent = rig.assign()

    def program(cpu):
        driver = yield from driver_of(cpu)
        cpu.store(driver.bar + edu.LIVENESS, 4, 5)
        lent.reset()
        return cpu.load(driver.bar + edu.LIVENESS, 4), cpu.load(driver.bar, 4)
    assert rig.run(program) == (0, 0x0100_00ED)
    assert not rig.device.by_message and rig.function.vectors == 1


def test_as_many_interrupts_as_its_msi_has():
    rig = EduRig()
    lent = rig.assign()
    assert lent.create_interrupt(rig.guests[0].cpu, VECTOR) and lent.create_interrupt(rig.guests[0].cpu, VECTOR) is None


def test_it_has_no_virtual_functions():
    rig = EduRig()
    with pytest.raises(ValueError, match="edu: virtual functions 1; 1 to 0"):
        virtual.enable(rig.function, 1)
    virtual.disable(rig.function)
    assert rig.function.children == [] and MMIO > 1 << 32
