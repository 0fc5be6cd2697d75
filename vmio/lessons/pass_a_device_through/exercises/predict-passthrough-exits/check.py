from vmio import Machine, attachment, disk
from vmio.lab import a_number, counted, expect, varied

BUFFER, SECTORS = 16 << 20, 8


def count(reads, guest, delivery):
    """The machine's answer: the exits of `reads` reads, the set-up left out."""
    nvme = attachment("disk", "passthrough", delivery=delivery, polled=guest == "polling")
    machine = Machine()
    one = machine.guest("student", nvme, disk.pattern(1))
    machine.power_on()

    def program(cpu, driver):
        before = cpu.exits.total
        for n in range(reads):
            driver.submit("read", SECTORS * n, SECTORS, BUFFER, n)
            driver.flush_ring()
            if guest == "busy":
                seen = cpu.interrupts
                while cpu.interrupts == seen:
                    cpu.compute(1000)
                    yield from cpu.pay()
            yield from driver.wait()
            assert driver.reap() == [(n, None)]
        return cpu.exits.total - before
    return machine.run((one, program))[0]


def check(exits):
    for reads in varied("predict-passthrough-exits", (1, 7, 20), range(1, 24)):
        for guest, delivery in (("asleep", "injected"), ("asleep", "posted"), ("busy", "injected"), ("busy", "posted"),
                                ("polling", "injected")):
            given = f"{counted(reads, 'reads')}, {guest}, {delivery}"
            expect(a_number(exits(reads, guest, delivery), given), count(reads, guest, delivery), given)
    return "Counted on the machine: the same."
