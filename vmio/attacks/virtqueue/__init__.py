"""Attacks by virtio: what a hostile guest writes into its queues and registers, and what a hostile host answers to a driver.

    world.py       two guests on one host, each with a virtio device; canaries; an honest neighbour
    parts.py       where things lie in there, and how a device is brought up
    doors.py       the registers of a device, through PCI or at an address of its own
    catalogue.py   what an attack is, and all of them; `report.py` runs them
    chains.py, rings.py, requests.py, registers.py     the attacks of a guest, by what they are on; storm.py, the one that needs time
    driver_world.py, answers.py     a guest with a hostile host: what it answers, and drivers that believe it
    naive.py, naive_devices.py     a device that trusts its driver, one check at a time
"""
