"""The data structures of IDENTIFY and of GET LOG PAGE: fields at the offsets of NVMe's figures.  Declarations only.

Source: NVMe 1.4, 5.15 (figures 245 namespace, 247 controller, 249 namespace
descriptors, 253 primary controller capabilities), 5.14.1 (logs); TP 4056 for the
I/O command set structures.
"""

from vmio.machine.layout import Layout, placed, raw, u8, u16, u32, u64

BYTES = 4096

CONTROLLER = placed("IDENTIFY_CONTROLLER", BYTES, {
    0: u16("vendor", "PCI's"), 2: u16("subsystem_vendor", "PCI's"), 4: raw("serial", 20), 24: raw("model", 40),
    64: raw("firmware", 8), 72: u8("arbitration_burst", "log2"), 73: raw("oui", 3), 77: u8("max_transfer", "log2 of memory pages"),
    80: u32("version"), 92: u32("optional_events"), 96: u32("attributes"), 111: u8("controller_type"),
    256: u16("admin_commands"), 258: u8("max_aborts", "less 1"), 259: u8("max_event_requests", "less 1"), 260: u8("firmware_updates"),
    261: u8("log_attributes"), 266: u16("warning_temperature", "kelvin"), 268: u16("critical_temperature", "kelvin"),
    512: u8("submission_entry", "log2 of bytes: least, most"), 513: u8("completion_entry", "log2 of bytes: least, most"),
    516: u32("namespaces"), 520: u16("nvm_commands"), 525: u8("write_cache"), 534: u16("copy_formats"), 536: u32("sgls"),
    768: raw("nqn", 256), 2048: u16("power", "state 0: hundredths of a watt"), 2052: u32("entry_latency", "us"),
    2056: u32("exit_latency", "us")})

NAMESPACE = placed("IDENTIFY_NAMESPACE", BYTES, {
    0: u64("size", "blocks"), 8: u64("capacity", "blocks"), 16: u64("used", "blocks"), 24: u8("features"),
    25: u8("formats", "less 1"), 26: u8("format"), 27: u8("metadata"), 28: u8("protection"), 33: u8("deallocated"),
    68: u16("deallocation_granularity", "blocks less 1"), 70: u16("deallocation_alignment", "blocks less 1"),
    128: raw("lba_formats", 64)})
LBA_FORMAT = Layout("LBA_FORMAT", u16("metadata", "bytes"), u8("data", "log2 of bytes"), u8("performance"))

DESCRIPTOR = placed("NAMESPACE_DESCRIPTOR", BYTES, {0: u8("type"), 1: u8("length"), 4: u8("command_set")})
NVM_LIMITS = placed("IDENTIFY_NVM_CONTROLLER", BYTES, {0: u8("verify", "log2 of memory pages"), 4: u32("dataset_range", "blocks")})
PRIMARY = placed("PRIMARY_CONTROLLER", BYTES, {
    4: u8("resources"), 42: u16("queues"), 46: u16("queue_granularity"), 74: u16("interrupts"), 78: u16("interrupt_granularity")})

FIRMWARE = placed("FIRMWARE_LOG", 512, {0: u8("active", "slot"), 8: raw("slot1", 8)})
HEALTH = placed("HEALTH_LOG", 512, {
    0: u8("critical"), 1: u16("temperature", "kelvin"), 32: u64("read", "thousands of sectors"),
    48: u64("written", "thousands of sectors"), 64: u64("reads"), 80: u64("writes"), 128: u64("hours")})
