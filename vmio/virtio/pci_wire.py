"""Where a driver finds a virtio device's registers on PCI.  Declarations only.

Source: VIRTIO 1.2, 4.1.4 "Virtio Structure PCI Capabilities"; the places in BAR 4 are those of QEMU 7.2 (hw/virtio/virtio-pci.c).
"""

from vmio.machine.layout import Layout, placed, u8, u16, u32, u64

VENDOR, FIRST_DEVICE, VNDR = 0x1AF4, 0x1040, 0x09        # a modern device's id is FIRST_DEVICE + its type; VNDR: a vendor's capability
COMMON, NOTIFY, ISR, DEVICE, WINDOW = 1, 2, 3, 4, 5      # types of structures
BAR, BAR_BYTES, TABLES_BAR, TABLES_BYTES, PENDING = 4, 0x4000, 1, 0x1000, 0x800
COMMON_AT, ISR_AT, DEVICE_AT, NOTIFY_AT, PART = 0x0000, 0x1000, 0x2000, 0x3000, 0x1000
MULTIPLIER = 4                                           # bytes from a queue's doorbell to the next one's
NO_VECTOR = 0xFFFF
QUEUE_ISR, CONFIG_ISR = 1, 2

CAPABILITY = Layout("virtio_pci_cap", u8("vndr", default=VNDR), u8("next"), u8("len"), u8("type"), u8("bar"), u8("id"),
                    u16("padding"), u32("offset"), u32("length"))
NOTIFY_CAPABILITY = Layout("virtio_pci_notify_cap", *CAPABILITY.fields, u32("multiplier"))
WINDOW_CAPABILITY = Layout("virtio_pci_cfg_cap", *CAPABILITY.fields, u32("data"))

COMMON_CONFIG = placed("virtio_pci_common_cfg", 60, {
    0: u32("device_feature_select"), 4: u32("device_feature"), 8: u32("driver_feature_select"), 12: u32("driver_feature"),
    16: u16("config_msix_vector"), 18: u16("num_queues"), 20: u8("device_status"), 21: u8("config_generation"),
    22: u16("queue_select"), 24: u16("queue_size"), 26: u16("queue_msix_vector"), 28: u16("queue_enable"), 30: u16("queue_notify_off"),
    32: u64("queue_desc"), 40: u64("queue_driver"), 48: u64("queue_device"), 56: u16("queue_notify_data"), 58: u16("queue_reset")})
