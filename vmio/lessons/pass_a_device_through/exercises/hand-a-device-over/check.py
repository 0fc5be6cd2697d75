from vmio import AssignableNvme, Image, Machine, assign
from vmio.lab import Wrong, described, varied


def check(hand_over):
    for sector in varied("hand-a-device-over", (0, 77), range(128)):
        machine, medium = Machine(memory_mib=64), Image.open(bytes(512 * 128))
        physical = AssignableNvme(machine.host, [medium])
        physical.iommu.enable()
        guests = [machine.guest(name, ram_mib=4).make() for name in ("A", "B")]
        function = physical.disk.function

        def give(to):
            return assign(function, to.guest, to.platform.bus, physical.router)
        lent = give(guests[0])
        medium.write(sector, b"A's secret".ljust(512, b"."))
        given = f"a secret in sector {sector}"
        answer = hand_over(lent, lambda: give(guests[1]))
        if answer is None and function.assigned_to is lent:
            raise NotImplementedError
        if function.assigned_to is None or function.assigned_to.guest is not guests[1].guest:
            raise Wrong(given, "B to have the device", "A has it" if function.assigned_to else "nobody has it")
        if any(medium.read(at) != bytes(512) for at in range(medium.sectors)):
            raise Wrong(given, "nothing of A's on the medium", "A's bytes")
        if answer is not function.assigned_to:
            raise Wrong(given, "what give() returned", described(answer))
    return "B starts with a clean disk."
