"""HvCallRetargetDeviceInterrupt: an interrupt moves to another vCPU, or is refused."""

import pytest

from tests.passthrough_rig import Rig, bus_of
from vmio.drivers.errors import DriverError
from vmio.modes import one_guest
from vmio.passthrough.retarget import Retargets
from vmio.vmbus.pci import vpci as v


@pytest.mark.parametrize("interrupts", ("injected", "posted"))
def test_an_interrupt_moves_to_another_vcpu(interrupts):
    rig, taken = Rig(vcpus=2), []
    rig.assign(interrupts=interrupts)
    second = rig.guests[0].vcpus[1]

    def program(cpu):
        bus = yield from bus_of(cpu)
        function = bus.functions[0]
        function.enable()
        message = yield from function.connect(1, 0x60, lambda cpu: taken.append((cpu.index, 0x60)))
        second.on_interrupt(0x61, lambda cpu: taken.append((cpu.index, 0x61)))
        before = cpu.exits.by_instruction()["VMCALL"]
        function.retarget(message, 0x61, second)
        exits = cpu.exits.by_instruction()["VMCALL"] - before
        rig.function.device.msix.notify(1)
        with pytest.raises(DriverError, match="status 0x5"):
            function.retarget((message[0] + 32, 0), 0x61, second)
        return exits

    def other(cpu):
        yield from cpu.hlt(10**10)
    assert rig.host.run((rig.guests[0].cpu, program), (second, other), limit_ns=10**12)[0] == 1
    assert taken == [(1, 0x61)]


def test_a_vcpu_that_the_host_has_no_descriptor_for_gets_no_posted_interrupt():
    rig = Rig(vcpus=64)
    rig.assign(interrupts="posted")
    for cpu in rig.guests[1].vcpus[:63]:
        rig.router.descriptor(cpu)

    def program(cpu):
        bus = yield from bus_of(cpu)
        function = bus.functions[0]
        function.enable()
        message = yield from function.connect(1, 0x60, lambda cpu: None)
        with pytest.raises(DriverError, match="status 0x5"):
            function.retarget(message, 0x61, rig.guests[0].vcpus[1])
        with pytest.raises(DriverError, match="insufficient resources"):
            yield from function.connect(2, 0x60, lambda cpu: None, rig.guests[0].vcpus[1])
    rig.run(program)


@pytest.mark.parametrize("changes, banks, status", [
    ({}, (), 0), ({"processor_mask": 0}, (), 5), ({"processor_mask": 4}, (), 5), ({"processor_mask": 6}, (), 0),
    ({"vector": 15}, (), 5), ({"vector": 256}, (), 5), ({"partition": 7}, (), 5), ({"source": 2}, (), 5),
    ({"device": 99}, (), 5), ({"data": 1}, (), 5),
    ({"flags": 2, "processor_mask": 0}, (1, 2), 0), ({"flags": 2, "processor_mask": 0}, (1,), 5),
    ({"flags": 2, "processor_mask": 0}, (), 5), ({"flags": 2, "processor_mask": 1}, (1, 2), 5),
    ({"flags": 2, "processor_mask": 0}, (2, 1), 5), ({"flags": 2, "processor_mask": 0}, (3, 0, 0), 5)])
def test_retarget_checks_everything(changes, banks, status):
    rig = Rig(vcpus=2)
    lent = rig.assign()

    def program(cpu):
        bus = yield from bus_of(cpu)
        bus.functions[0].enable()
        address, data = yield from bus.functions[0].connect(1, 0x60, lambda cpu: None)
        fields = {"partition": v.THIS_PARTITION, "device": v.device_id(lent.vsp.instance_id), "source": v.SOURCE_MSI,
                  "address": address, "data": data, "vector": 0x61, "processor_mask": 2, **changes}
        at = 0x30_0000
        cpu.write(at, v.RETARGET.pack(**fields) + b"".join(word.to_bytes(8, "little") for word in banks))
        answers = [cpu.hypercall(v.RETARGET_INTERRUPT | len(banks) << 17, at)]
        for control, gpa in ((1 << 16, at), (0, at + 4), (0, at + 4096 - 8), (0x3FF << 17, at), (0, 1 << 40)):
            answers.append(cpu.hypercall(v.RETARGET_INTERRUPT | control, gpa))
        return answers
    assert rig.run(program) == [status, 3, 3, 3, 3, 5]


class Taker:
    """A device that notes where its interrupt was sent."""

    def retarget_interrupt(self, address, data, cpu, vector):
        self.seen = address, data, cpu.index, vector
        return True


@pytest.mark.parametrize("flags, mask, banks, target", [
    (0, 1 << 63, (), 63), (0, 1 << 40 | 1 << 50, (), 40), (0, 1, (), 0), (2, 0, (1, 1 << 63), 63),
    (2, 0, (1, 1 << 40 | 1 << 56), 40), (2, 0, (3, 1 << 5, 1), 5), (2, 0, (3, 0, 1), None), (2, 0, (2, 1), None),
    (2, 0, (1 << 63 | 1, 0, 1 << 63), None), (1, 1 << 9, (), 9)])
def test_which_vcpu_a_mask_or_a_set_names(flags, mask, banks, target):
    """The lowest; of 64 vCPUs the last is in the last bit of the first bank, and there is no second bank."""
    guest, calls, taker = one_guest(ram_mib=1, vcpus=64).guest, Retargets(), Taker()
    calls.devices[7] = taker
    data = v.RETARGET.pack(partition=v.THIS_PARTITION, device=7, source=v.SOURCE_MSI, address=0xFEE0_0000, data=0x1234,
                           vector=0xFF, flags=flags, processor_mask=mask) + b"".join(word.to_bytes(8, "little") for word in banks)
    for gpa, status in ((0x1000, 0), (0x2000 - len(data), 0), (0x2000 - len(data) + 8, 3), (0x1004, 3)):
        guest.memory.write(gpa, data)
        taker.seen = None
        got = calls(guest, guest.cpu, len(banks) << 17, gpa, 0)
        assert got == (status if target is not None or status else 5)
        assert taker.seen == ((0xFEE0_0000, 0x1234, target, 0xFF) if got == 0 else None)
