"""An encrypted disk that carries its own key, locked: LUKS, version 1, as cryptsetup and QEMU read and write it.

    luks.create(image, disk_key, {0: b"a passphrase", 1: b"the administrator's"}, random)
    disk = luks.unlock(image, b"a passphrase")          # an `Encrypted`; `WrongPassphrase`, `BadHeader`
    luks.drop(image, 0, random)                         # one passphrase opens nothing any more
    luks.destroy(image, random)                         # none does: the disk is gone, though none of its own sectors has changed

The disk's key is in no slot as it is.  It is spread over stripes, which are encrypted with what a slow function makes of the passphrase.
A digest in the header says whether what came out is the key.  The header itself has no tag: who changes it can make a disk unreadable,
but not readable.  It is read once, for the host may change it between two looks.
Source: LUKS On-Disk Format Specification 1.2.3 (Broz and Fruhwirth), 2.1 to 2.4 and 4.1 to 4.4; RFC 8018, 5.2 (PBKDF2).
"""

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from vmio.machine.contracts import Record
from vmio.machine.crypto import stripes
from vmio.machine.crypto.keys import slow
from vmio.machine.crypto.luks_wire import DIGEST, DISABLED, ENABLED, HEADER_BYTES, MAGIC, PHDR, SALT, SLOT, SLOTS
from vmio.machine.crypto.part import Part
from vmio.machine.media.encrypted import KEYS, Encrypted
from vmio.machine.media.medium import Medium
from vmio.machine.storage import SECTOR

ALIGNED = 8                     # sectors: slots and payload begin at whole pages
FIRST_SLOT = 8                  # sector
ITERATIONS = 1000               # the specification's least; real programs take as many as fit into a second or two
MAX_ITERATIONS = 2_000_000      # or a header could keep its reader busy for minutes
HEADER_SECTORS = -(-HEADER_BYTES // SECTOR)
READABLE = {"magic": (MAGIC,), "version": (1,), "cipher_name": (b"aes",), "cipher_mode": (b"xts-plain64",), "hash_spec": (b"sha256",),
            "key_bytes": KEYS}


class BadHeader(ValueError):
    """What begins the disk is no LUKS header that can be read here."""


class WrongPassphrase(ValueError):
    """No slot opens with this passphrase."""


class Header(NamedTuple):
    """One copy of a header, checked: `fields` as of `PHDR`, and eight key slots as of `SLOT`."""

    fields: Record
    slots: list[Record]


def create(image: Medium, key: bytes, passphrases: Mapping[int, bytes], random: Random, iterations: int = ITERATIONS) -> None:
    """Write a header for the disk's `key`, and a slot for each of `passphrases` {slot: passphrase}.

    ValueError for a key or slot that can't be, and for an image that has no room behind a header.
    """
    if len(key) not in KEYS:
        raise ValueError(f"a key of {len(key)} bytes; LUKS has {' or '.join(map(str, KEYS))} here")
    if not passphrases or any(slot not in range(SLOTS) for slot in passphrases):
        raise ValueError(f"slots {', '.join(map(str, passphrases)) or '(none)'}: one or more of 0 to {SLOTS - 1}")
    whole = -(-_sectors(len(key)) // ALIGNED) * ALIGNED
    payload = FIRST_SLOT + SLOTS * whole
    if image.sectors <= payload:
        raise ValueError(f"image {image.name}: {image.sectors} sectors; a header takes {payload} of them")
    salt = random.randbytes(SALT)
    data = PHDR.pack(payload_offset=payload, key_bytes=len(key), mk_digest=slow(key, salt, iterations, DIGEST), mk_digest_salt=salt,
                     mk_digest_iterations=iterations, uuid=_uuid(random).encode())
    for number in range(SLOTS):
        at = FIRST_SLOT + number * whole
        if number in passphrases:
            salt = random.randbytes(SALT)
            material = stripes.split(key, random)
            _locked(image, at, slow(passphrases[number], salt, iterations, len(key))).write(0, material + bytes(-len(material) % SECTOR))
            data += SLOT.pack(active=ENABLED, iterations=iterations, salt=salt, key_material_offset=at)
        else:
            data += SLOT.pack(key_material_offset=at)
    image.write(0, data + bytes(-len(data) % SECTOR))


def read(image: Medium) -> Header:
    """Return the header; `BadHeader` names the field and what can be read here."""
    data = bytes(image.read(0, min(HEADER_SECTORS, image.sectors)))
    if len(data) < HEADER_BYTES:
        raise BadHeader(f"image {image.name}: {len(data)} bytes; a LUKS header has {HEADER_BYTES}")
    fields = PHDR.parse(data)
    for name, allowed in READABLE.items():
        found = getattr(fields, name)
        if (found.rstrip(b"\0") if isinstance(found, bytes) else found) not in allowed:
            raise BadHeader(f"image {image.name}: {name} is {found!r}; {' or '.join(map(repr, allowed))} can be read")
    _bounded(image, "mk_digest_iterations", fields.mk_digest_iterations, 1, MAX_ITERATIONS)
    _bounded(image, "payload_offset", fields.payload_offset, FIRST_SLOT + _sectors(fields.key_bytes), image.sectors - 1)
    slots = [SLOT.parse(data, PHDR.size + number * SLOT.size) for number in range(SLOTS)]
    for number, slot in enumerate(slots):
        if slot.active not in (ENABLED, DISABLED):
            raise BadHeader(f"image {image.name}: slot {number} is {slot.active:#010x}; {ENABLED:#010x} and {DISABLED:#010x} can be")
        if slot.active == ENABLED:
            _bounded(image, f"slot {number}: stripes", slot.stripes, stripes.STRIPES, stripes.STRIPES)
            _bounded(image, f"slot {number}: iterations", slot.iterations, 1, MAX_ITERATIONS)
            _bounded(image, f"slot {number}: key_material_offset", slot.key_material_offset, 2, fields.payload_offset - _sectors(fields.key_bytes))
    return Header(fields, slots)


def unlock(image: Medium, passphrase: bytes) -> Encrypted:
    """Return the disk behind the header, in clear; `BadHeader`, or `WrongPassphrase` if no slot opens with it."""
    fields, slots = read(image)
    for slot in slots:
        if slot.active == ENABLED:
            locked = _locked(image, slot.key_material_offset, slow(passphrase, slot.salt, slot.iterations, fields.key_bytes))
            key = stripes.merged(bytes(locked.read(0, locked.sectors))[:fields.key_bytes * stripes.STRIPES], fields.key_bytes)
            if slow(key, fields.mk_digest_salt, fields.mk_digest_iterations, DIGEST) == fields.mk_digest:
                return Encrypted(Part(image, fields.payload_offset, image.sectors - fields.payload_offset), key)
    raise WrongPassphrase(f"image {image.name}: no key slot opens with this passphrase")


def drop(image: Medium, number: int, random: Random) -> None:
    """Overwrite one slot's stripes, and say that it is free: its passphrase opens nothing any more.  ValueError if it is free."""
    fields, slots = read(image)
    if slots[number].active != ENABLED:
        raise ValueError(f"image {image.name}: slot {number} is free")
    at = slots[number].key_material_offset
    image.write(at, random.randbytes(_sectors(fields.key_bytes) * SECTOR))
    data, slot = bytearray(image.read(0, HEADER_SECTORS)), PHDR.size + number * SLOT.size
    data[slot:slot + SLOT.size] = SLOT.pack(key_material_offset=at)
    image.write(0, data)


def destroy(image: Medium, random: Random) -> None:
    """Overwrite the stripes of every slot in use: nobody reads this disk again."""
    for number, slot in enumerate(read(image).slots):
        if slot.active == ENABLED:
            drop(image, number, random)


def _bounded(image: Medium, what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise BadHeader(f"image {image.name}: {what} is {value:,}; {f'{low:,} to {high:,}' if low < high else f'{low:,}'} can be")


def _locked(image: Medium, at: int, key: bytes) -> Encrypted:
    """A slot's stripes, encrypted; their sectors count from 0."""
    return Encrypted(Part(image, at, _sectors(len(key))), key)


def _sectors(key_bytes: int) -> int:
    return -(-key_bytes * stripes.STRIPES // SECTOR)


def _uuid(random: Random) -> str:
    text = random.randbytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
