"""AES-GCM and TLS 1.3's records: published vectors, the library against plain Python, and what a network may do to a record."""

import random
import sys

import pytest

from vmio.machine.crypto.aead import Forged, Gcm, aead
from vmio.machine.crypto.keys import expanded
from vmio.machine.crypto.records import OVERHEAD, Opener, RecordRefused, Sealer

SECRET = random.Random(20).randbytes(48)
# RFC 8448, section 3: the client's first record of application data, and what it was made of.
CLIENT_SECRET = bytes.fromhex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5")
CLIENT_KEY, CLIENT_IV = "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"
CLIENT_RECORD = ("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4")
# The GCM specification's test case 4 (McGrew and Viega), and its AES-256 twin, test case 16: key, nonce, plain text, header, tag.
PLAIN = bytes.fromhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
HEADER = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
NONCE = bytes.fromhex("cafebabefacedbaddecaf888")
KEY = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
TAGS = {1: "5bc94fbc3221a5db94fae95ae7121a47", 2: "76fc6ece0f4e1768cddf8853bb2d551b"}


@pytest.mark.parametrize("made", (aead, Gcm))
@pytest.mark.parametrize("times", TAGS)
def test_vectors_of_the_specification_of_gcm(made, times):
    cipher = made(KEY * times)
    sealed = cipher.seal(NONCE, PLAIN, HEADER)
    assert sealed[len(PLAIN):].hex() == TAGS[times]
    assert cipher.open(NONCE, sealed, HEADER) == PLAIN


@pytest.mark.parametrize("length", (0, 1, 15, 16, 17, 31, 32, 255, 1478))
def test_plain_python_makes_the_librarys_bytes(length):
    rng = random.Random(length)
    for key_bytes in (16, 32):
        key, nonce, plain, header = rng.randbytes(key_bytes), rng.randbytes(12), rng.randbytes(length), rng.randbytes(length % 37)
        assert Gcm(key).seal(nonce, plain, header) == aead(key).seal(nonce, plain, header)
        assert type(aead(key)) is not Gcm


@pytest.mark.parametrize("made", (aead, Gcm))
def test_any_changed_bit_is_noticed(made):
    cipher, rng = made(KEY), random.Random(1)
    sealed = cipher.seal(NONCE, PLAIN, HEADER)
    for at in range(0, len(sealed) * 8, 7):
        bent = bytearray(sealed)
        bent[at // 8] ^= 1 << at % 8
        with pytest.raises(Forged):
            cipher.open(NONCE, bent, HEADER)
    for nonce, short, header in ((rng.randbytes(12), sealed, HEADER), (NONCE, sealed, HEADER[:-1]), (NONCE, sealed[:-1], HEADER), (NONCE, b"", HEADER)):
        with pytest.raises(Forged):
            cipher.open(nonce, short, header)


def test_without_the_library_plain_python_does_it(monkeypatch):
    for name in [each for each in sys.modules if each.startswith("cryptography")] + ["cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert type(aead(KEY)) is Gcm


@pytest.mark.parametrize("length", (0, 15, 24, 33))
def test_keys_of_another_length_are_refused(length):
    with pytest.raises(ValueError, match=f"^a key of {length} bytes; AES-GCM takes 16 or 32 here$"):
        aead(bytes(length))


def test_keys_are_expanded_as_in_rfc_8448():
    assert expanded(CLIENT_SECRET, "key", b"", 16).hex() == CLIENT_KEY
    assert expanded(CLIENT_SECRET, "iv", b"", 12).hex() == CLIENT_IV
    assert len(expanded(CLIENT_SECRET, "key", b"", 100)) == 100 and expanded(CLIENT_SECRET, "key", b"", 100)[:32] != expanded(CLIENT_SECRET, "key", b"", 32)


def test_a_record_of_rfc_8448():
    record = bytes.fromhex(CLIENT_RECORD)
    assert Sealer(CLIENT_SECRET, 16).seal(bytes(range(50))) == record
    assert Opener(CLIENT_SECRET, 16).open(record) == bytes(range(50))


def test_records_come_as_they_were_sealed_padding_and_all():
    sender, receiver, rng = Sealer(SECRET), Opener(SECRET), random.Random(2)
    for length in (0, 1, 16, 1000, 1 << 14):
        content = rng.randbytes(length)
        record = sender.seal(content)
        assert len(record) == length + OVERHEAD == length + 22
        assert receiver.open(record + bytes(7)) == content
    assert receiver.open(sender.seal(b"ends with zeros\0\0\0")) == b"ends with zeros\0\0\0"
    with pytest.raises(ValueError, match="^16,385 bytes in one record; at most 16,384$"):
        sender.seal(bytes((1 << 14) + 1))


def test_equal_contents_look_different():
    sender = Sealer(SECRET)
    assert len({sender.seal(b"attack at dawn") for _ in range(20)}) == 20


WAYS = {            # of the first two records: what is opened before, and what must not open
    "a bit of the ciphertext is flipped": lambda one, two: ([], one[:9] + bytes([one[9] ^ 4]) + one[10:]),
    "a bit of the tag is flipped": lambda one, two: ([], one[:-1] + bytes([one[-1] ^ 1])),
    "the header says another type": lambda one, two: ([], b"\x16" + one[1:]),
    "the header says another version": lambda one, two: ([], one[:1] + b"\x03\x01" + one[3:]),
    "the header says less": lambda one, two: ([], one[:3] + (len(one) - 6).to_bytes(2, "big") + one[5:]),
    "the header says more": lambda one, two: ([], one[:3] + b"\x40\x00" + one[5:]),
    "the header says no more than a tag": lambda one, two: ([], one[:3] + b"\x00\x10" + one[5:]),
    "it is cut": lambda one, two: ([], one[:-1]),
    "it is cut in its header": lambda one, two: ([], one[:4]),
    "it is empty": lambda one, two: ([], b""),
    "it comes twice": lambda one, two: ([one], one),
    "the second comes first": lambda one, two: ([], two),
    "somebody else sealed it": lambda one, two: ([], Sealer(b"another secret" * 3).seal(b"pay Bob 900")),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_network_does_to_a_record_is_noticed_and_ends_the_connection(way):
    sender, receiver = Sealer(SECRET), Opener(SECRET)
    first, second = sender.seal(b"pay Ann 100"), sender.seal(b"pay Bob 900")
    good, bad = WAYS[way](first, second)
    for record in good:
        receiver.open(record)
    with pytest.raises(RecordRefused, match=rf"^record {len(good)}: .*; the connection has ended \(bad_record_mac\)$") as refused:
        receiver.open(bad)
    assert refused.value.number == len(good)
    for record in (first, second):
        with pytest.raises(RecordRefused, match="nothing is opened after one that was refused"):
            receiver.open(record)
    assert Opener(SECRET).open(first) == b"pay Ann 100"         # who else listens lives on


def test_a_record_of_another_content_type_is_no_data():
    class Handshakes(Sealer):
        def alert(self):
            header = bytes((23, 3, 3, 0, 2 + 1 + 16))
            return header + self._aead.seal(self._nonce(), bytes((2, 40, 21)), header)

    with pytest.raises(RecordRefused, match=r"^record 0: content of type 21; only application data \(23\) is sent here"):
        Opener(SECRET).open(Handshakes(SECRET).alert())
