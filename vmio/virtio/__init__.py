"""The open standard beside VMBus: virtqueues, the devices that use them, and the transports that a guest finds them by.

    queue/       split and packed virtqueues, the device's half and the driver's
    device.py    what all devices have in common: status, features, queues, configuration
    blk.py, net.py     a disk, a network card
    balloon.py, console.py     memory that a guest gives away, a console
    pci.py, mmio.py    how a guest reaches the registers of any of them

Source for all of it: OASIS, "Virtual I/O Device (VIRTIO) Version 1.2", its sections cited as v1.2 n.n.
"""
