"""Records as TLS 1.3 (Transport Layer Security) sends them: sealed, numbered without saying so, and refused if they come changed, twice or in another order.

    sender, receiver = Sealer(secret), Opener(secret)      one direction; the other way has a secret of its own
    record = sender.seal(b"hello")          5 bytes of header, ciphertext, a tag: 22 bytes more than what is sent
    receiver.open(record)                   b"hello", or `RecordRefused`, and nothing more after that

No record says its number.  Both sides count, and the count is mixed into the nonce: so a record that comes twice, or in another
place, is opened with another nonce than it was sealed with, and does not fit.  Nobody can tell how it was changed, so TLS ends
the connection at the first that does not fit (alert bad_record_mac).
Source: RFC 8446, 5.1 and 5.2 (records), 5.3 (nonce), 6.2 (alert), 7.3 (keys).  Left out: the handshake that agrees on secrets.
"""

from collections.abc import Iterator

from vmio.machine.contracts import Buffer
from vmio.machine.crypto.aead import NONCE, TAG, Forged, aead
from vmio.machine.crypto.keys import expanded
from vmio.machine.layout import Layout, u8, u16

HEADER = Layout("TLSCiphertext", u8("opaque_type", default=23), u16("legacy_record_version", default=0x0303), u16("length"), order=">")
APPLICATION_DATA = 23               # a content type, at the end of what is encrypted
ALERT_BAD_RECORD_MAC = 20           # a description of an alert
MAX_PLAIN = 1 << 14                 # bytes of content in one record
MAX_SEALED = MAX_PLAIN + 256        # bytes behind a header
OVERHEAD = HEADER.size + 1 + TAG    # bytes that a record has beside its content


class RecordRefused(ValueError):
    """A record is not the next one that the other side sealed; `number` is that of the one that was expected."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"record {number}: {why}; the connection has ended (bad_record_mac)")
        self.number = number


class _Direction:
    """Key and first nonce of one direction, made of its secret, and the number of the next record."""

    def __init__(self, secret: bytes, key_bytes: int = 32) -> None:
        hash_name = "sha384" if key_bytes == 32 else "sha256"      # TLS_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256
        self._aead = aead(expanded(secret, "key", b"", key_bytes, hash_name))
        self._first = int.from_bytes(expanded(secret, "iv", b"", NONCE, hash_name), "big")
        self.number = 0

    def _nonce(self) -> bytes:
        """The first nonce plus the number, bit by bit."""
        return (self._first ^ self.number).to_bytes(NONCE, "big")


class Sealer(_Direction):
    """The sender's side of a direction; `secret` is that direction's alone, `key_bytes` 16 or 32."""

    def seal(self, content: Buffer) -> bytes:
        """Return the next record; ValueError for more than 16 KiB of content."""
        if len(content) > MAX_PLAIN:
            raise ValueError(f"{len(content):,} bytes in one record; at most {MAX_PLAIN:,}")
        header = HEADER.pack(length=len(content) + 1 + TAG)
        sealed = self._aead.seal(self._nonce(), bytes(content) + bytes([APPLICATION_DATA]), header)
        self.number += 1
        return header + sealed


class Opener(_Direction):
    """The receiver's side.  What follows the record in `open`, such as a short frame's padding, is not looked at."""

    ended = False

    def open(self, record: Buffer) -> bytes:
        """Return the content of the next record; `RecordRefused` if this isn't it, and for all after one that was not."""
        if self.ended:
            raise RecordRefused(self.number, "nothing is opened after one that was refused")
        try:
            return self._opened(record)
        except RecordRefused:
            self.ended = True
            raise

    def take(self, stream: bytearray) -> Iterator[bytes]:
        """Take one record after the other off the front of a stream of bytes, and yield its content; what is not all there yet stays.

        `RecordRefused` as of `open`, and at once for a header that says more than a record may have.
        """
        while len(stream) >= HEADER.size:
            length = HEADER.parse(bytes(stream[:HEADER.size])).length
            if len(stream) - HEADER.size < length <= MAX_SEALED:
                return
            record = bytes(stream[:HEADER.size + length])
            del stream[:HEADER.size + length]
            yield self.open(record)

    def _opened(self, record: Buffer) -> bytes:
        if len(record) < HEADER.size:
            raise RecordRefused(self.number, f"{len(record)} bytes; a header alone has {HEADER.size}")
        header = bytes(record[:HEADER.size])
        length = HEADER.parse(header).length
        sealed = record[HEADER.size:HEADER.size + length]
        if not TAG < length <= MAX_SEALED or len(sealed) < length:
            raise RecordRefused(self.number, f"{len(sealed)} bytes after a header that says {length:,}")
        try:
            inner = self._aead.open(self._nonce(), sealed, header).rstrip(b"\0")       # zeros after the type are padding
        except Forged:
            raise RecordRefused(self.number, "it is not what was sealed as this one: changed, sent twice, in another order or with another key") from None
        if not inner or inner[-1] != APPLICATION_DATA:
            raise RecordRefused(self.number, f"content of type {inner[-1] if inner else 0}; only application data ({APPLICATION_DATA}) is sent here")
        self.number += 1
        return inner[:-1]
