"""Feature bits of all devices, and the bits of a device's status.

Source: VIRTIO 1.2, 2.1 "Device Status Field", 6 "Reserved Feature Bits"; bit 40 as in Linux include/uapi/linux/virtio_config.h.
"""

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80

INDIRECT_DESC, EVENT_IDX, VERSION_1, ACCESS_PLATFORM = 1 << 28, 1 << 29, 1 << 32, 1 << 33
RING_PACKED, IN_ORDER, NOTIFICATION_DATA, RING_RESET = 1 << 34, 1 << 35, 1 << 38, 1 << 40

RING = INDIRECT_DESC | EVENT_IDX | VERSION_1 | RING_RESET      # what QEMU 7.2's devices offer of it by default
