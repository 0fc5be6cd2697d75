"""LUKS (Linux Unified Key Setup), version 1: the header of an encrypted disk, big-endian.

Source: LUKS On-Disk Format Specification 1.2.3 (Broz and Fruhwirth), figures 1 to 4.
"""

from vmio.machine.layout import Layout, raw, u16, u32

MAGIC = b"LUKS\xba\xbe"
SLOTS = 8
ENABLED, DISABLED = 0x00AC71F3, 0x0000DEAD
DIGEST, SALT = 20, 32

PHDR = Layout(
    "LUKS_phdr", raw("magic", 6, default=MAGIC), u16("version", default=1), raw("cipher_name", 32, default=b"aes"),
    raw("cipher_mode", 32, default=b"xts-plain64"), raw("hash_spec", 32, default=b"sha256"),
    u32("payload_offset", "sectors of 512 bytes"), u32("key_bytes"), raw("mk_digest", DIGEST), raw("mk_digest_salt", SALT),
    u32("mk_digest_iterations"), raw("uuid", 40), tail="slots", order=">")
SLOT = Layout("LUKS_key_slot", u32("active", default=DISABLED, names={ENABLED: "ENABLED", DISABLED: "DISABLED"}), u32("iterations"),
              raw("salt", SALT), u32("key_material_offset", "sectors of 512 bytes"), u32("stripes", default=4000), order=">")
HEADER_BYTES = PHDR.size + SLOTS * SLOT.size
