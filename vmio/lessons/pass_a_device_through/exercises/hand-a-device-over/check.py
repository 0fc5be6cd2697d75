from vmio import AssignableNvme, Host, Image, VmbusServer, assign, enable_enlightenments
from vmio.lab import Wrong


def check(hand_over):
    for sector in (0, 77):
        host = Host(memory_mib=64)
        medium = Image.open(bytes(512 * 128))
        machine = AssignableNvme(host, [medium])
        machine.iommu.enable()
        guests = [host.guest(name, ram_mib=4) for name in ("A", "B")]
        servers = []
        for guest in guests:
            enable_enlightenments(guest)
            servers.append(VmbusServer(guest))
        function = machine.disk.function
        lent = assign(function, guests[0], servers[0], machine.router)
        medium.write(sector, b"A's secret".ljust(512, b"."))
        given = f"a secret in sector {sector}"
        answer = hand_over(lent, lambda: assign(function, guests[1], servers[1], machine.router))
        if answer is None and function.assigned_to is lent:
            raise NotImplementedError
        if function.assigned_to is None or function.assigned_to.guest is not guests[1]:
            raise Wrong(given, "B to have the device", "A has it" if function.assigned_to else "nobody has it")
        if any(medium.read(at) != bytes(512) for at in range(medium.sectors)):
            raise Wrong(given, "nothing of A's on the medium", "A's bytes")
        if answer is not function.assigned_to:
            raise Wrong(given, "what give() returned", answer)
    return "B starts with a clean disk."
