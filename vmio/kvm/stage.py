"""A real virtual machine around the RAM of a modelled guest: the pages the devices' DMA reaches are its own.

The modelled host's memory is one mmap; the part that is the guest's RAM becomes
slot 0.  Nothing is copied: what the device models read and write through their
`AddressSpace` is what the processor reads and writes.
"""

from vmio.kvm import expect, longmode
from vmio.kvm.code import Code
from vmio.kvm.compile import BASE, BYTES, CODE, DONE_PORT, LITERALS, LOG
from vmio.kvm.fast import Doorbell
from vmio.kvm.vcpu import Vcpu
from vmio.kvm.vm import Vm


class Stage:
    """A VM with the RAM of `guest` (a model's) from address 0, and a slot of its own for program and log.

    `ports` are those that the program may use; `bells` the addresses where a store of
    4 bytes rings.  `with Stage(...) as stage` gives back every file and mapping.
    """

    def __init__(self, guest, ports, bells=(), device=None):
        self.vm = Vm(device)
        try:
            self.ram = self.vm.add_slot(0, guest.ram, memory=guest.host.memory.bytes, start=guest.ram_spa(0))
            self.own = self.vm.add_slot(BASE, BYTES)
            longmode.load_tables(self.own, {*ports, DONE_PORT, *range(expect.STAND_IN, expect.STAND_IN + 4)})
            self.vcpu = Vcpu(self.vm)
            self.bells = {address: Doorbell(self.vm, address) for address in bells}
        except BaseException:
            self.vm.close()
            raise

    def run(self, piece, answer, seconds):
        """Run a `Piece`: a `Run`."""
        self.own.write(BASE + CODE, bytes(piece.code) + bytes(Code().out(DONE_PORT, 0)))
        self.own.write(BASE + LITERALS, piece.literals)
        longmode.enter_user_mode(self.vcpu, BASE)
        return self.vcpu.run(answer, DONE_PORT, seconds)

    def log(self, at, size):
        """What the program has kept."""
        return self.own.read(BASE + LOG + at, size)

    def close(self):
        """Give everything back."""
        self.vm.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()
