"""The device's side of TDISP: one function, its state, and what takes it from one state to another.

    tdi = Interface(function, requester, nonces)            `function` is a `PciFunction`
    tdi.answer(message)                                     the answer, always one

    CONFIG_UNLOCKED  ── LOCK ──>  CONFIG_LOCKED  ── START, with the nonce ──>  RUN
          ^                             │                                        │
          │                             └── a BAR moves, bus mastering ends, ────┤
          └── STOP ── ERROR <───────────────── a reset: configuration changed ───┘

Locked, the configuration is as the guest has read it in the report.  The host can still write it: the interface can't prevent that,
but it goes to ERROR at once and moves no more data of the guest's.  The nonce ties START to one LOCK: between two of them the host could
have unlocked the device, changed it, and locked it again.

What this can't show: that the answers come from a real chip.  For that they go through an SPDM session with the device's certificate,
and the link to it is encrypted (IDE).  Neither is modelled.
Source: DMTF spdm-emu, library/pci_tdisp_responder_lib and pci_tdisp_device_lib_sample (checks and their order: size, version, interface,
state, nonce); PCI-SIG's ECN for what leads to ERROR.
"""

import hmac
from random import Random

from vmio.devices.pci.function import PciFunction
from vmio.devices.pci.msix import MsixCapability
from vmio.hardware.tdisp import wire as w
from vmio.hardware.tdisp.wire import Error, Message, State
from vmio.machine.contracts import Record
from vmio.machine.memory import PAGE
from vmio.machine.probes import watch

SUPPORTED_FLAGS = w.NO_FIRMWARE_UPDATE | w.CACHE_LINE_SIZE
PORTION = 256                   # bytes of a report in one answer, at most
REQUESTS = {                    # each kind of request, and how long it is
    Message.GET_VERSION: w.HEADER.size, Message.GET_CAPABILITIES: w.ASK_CAPABILITIES.size, Message.LOCK_INTERFACE: w.LOCK.size,
    Message.GET_DEVICE_INTERFACE_REPORT: w.ASK_REPORT.size, Message.GET_DEVICE_INTERFACE_STATE: w.HEADER.size,
    Message.START_INTERFACE: w.NONCED.size, Message.STOP_INTERFACE: w.HEADER.size}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: Error, data: int = 0) -> None:
        super().__init__(code.name)
        self.code, self.data = code, data


class Interface:
    """A TDI: `state`, and `refused`, the requests that were answered with an error.  `nonces` makes the numbers that nobody can guess."""

    def __init__(self, function: PciFunction, requester: int, nonces: Random) -> None:
        self.function, self.id, self._nonces = function, requester, nonces
        self.state, self.refused = State.CONFIG_UNLOCKED, 0
        self._nonce: bytes | None = None
        self._report = b""
        self._locked: tuple[int, ...] = ()
        watch(function, "obeyed", self._look)

    def answer(self, message: bytes) -> bytes:
        """Return the answer to a request: always a message, whatever came.  ValueError for fewer bytes than a header has."""
        asked = w.HEADER.parse(message)
        try:
            self._check(asked.type, len(message), asked.version, asked.function_id)
            return self._obey(Message(asked.type), message)
        except Refused as refused:
            self.refused += 1
            return w.FAILED.pack(type=Message.ERROR, function_id=asked.function_id, code=refused.code, data=refused.data)

    def _check(self, kind: int, length: int, version: int, function_id: int) -> None:
        if kind not in REQUESTS:
            raise Refused(Error.UNSUPPORTED_REQUEST, kind)
        if length != REQUESTS[Message(kind)]:
            raise Refused(Error.INVALID_REQUEST)
        if version != w.VERSION:
            raise Refused(Error.VERSION_MISMATCH)
        if function_id != self.id:
            raise Refused(Error.INVALID_INTERFACE)

    def _obey(self, kind: Message, message: bytes) -> bytes:
        head = {"type": kind & 0x7F, "function_id": self.id}
        if kind is Message.GET_VERSION:
            return w.VERSIONS.pack(**head, count=1, versions=bytes([w.VERSION]))
        if kind is Message.GET_CAPABILITIES:
            return w.CAPABILITIES.pack(**head, requests=sum(1 << each - 0x80 for each in REQUESTS).to_bytes(16, "little"), lock_flags=SUPPORTED_FLAGS,
                                       address_bits=52)
        if kind is Message.LOCK_INTERFACE:
            return w.NONCED.pack(**head, nonce=self._lock(w.LOCK.parse(message)))
        if kind is Message.GET_DEVICE_INTERFACE_REPORT:
            asked = w.ASK_REPORT.parse(message)
            return w.REPORT_PART.pack(**head, **self._part(asked.offset, asked.length))
        if kind is Message.START_INTERFACE:
            self._start(w.NONCED.parse(message).nonce)
        elif kind is Message.STOP_INTERFACE:
            self._stop()
        else:
            return w.STATE.pack(**head, state=self.state)
        return w.HEADER.pack(**head)

    def _needs(self, *states: State) -> None:
        if self.state not in states:
            raise Refused(Error.INVALID_INTERFACE_STATE)

    def _lock(self, asked: Record) -> bytes:
        self._needs(State.CONFIG_UNLOCKED)
        if asked.flags & ~SUPPORTED_FLAGS or asked.mmio_offset % PAGE:
            raise Refused(Error.INVALID_REQUEST)
        if not self.function.is_master or None in self.function.mapped.values():
            raise Refused(Error.INVALID_DEVICE_CONFIGURATION)          # it answers nowhere yet, or may move no data
        self._nonce, self._locked = self._nonces.randbytes(w.NONCE), self._configuration()
        self._report = self._made(asked.mmio_offset)
        self.state = State.CONFIG_LOCKED
        return self._nonce

    def _start(self, nonce: bytes) -> None:
        self._needs(State.CONFIG_LOCKED)
        if self._nonce is None or not hmac.compare_digest(nonce, self._nonce):
            raise Refused(Error.INVALID_NONCE)
        self.state, self._nonce = State.RUN, None           # once

    def _stop(self) -> None:
        """Whatever the guest had in the device is cleared before anybody may change it."""
        self._needs(State.CONFIG_LOCKED, State.RUN, State.ERROR)
        self.state, self._nonce, self._report, self._locked = State.CONFIG_UNLOCKED, None, b"", ()
        if self.function.device is not None:
            self.function.device.reset()
        self.function.scrub()

    def _part(self, offset: int, length: int) -> dict[str, int | bytes]:
        self._needs(State.CONFIG_LOCKED, State.RUN)
        if not length or offset >= len(self._report):
            raise Refused(Error.INVALID_REQUEST)
        part = self._report[offset:offset + min(length, PORTION)]
        return {"length": len(part), "remainder": len(self._report) - offset - len(part), "report": part}

    # The configuration that is locked.

    def _configuration(self) -> tuple[int, ...]:
        """Where each BAR answers (-1: nowhere), and whether the function may move data."""
        return (*(-1 if base is None else base for _, base in sorted(self.function.mapped.items())), int(self.function.is_master))

    def _look(self) -> None:
        """The function has obeyed its registers: are they still those that were locked?"""
        if self.state in (State.CONFIG_LOCKED, State.RUN) and self._configuration() != self._locked:
            self.state, self._nonce = State.ERROR, None

    def _made(self, offset: int) -> bytes:
        """The report: where the BARs answer, page by page."""
        rows, msix = [], self.function.find(MsixCapability)
        tables = [] if msix is None else [bar for bar, _, _ in msix.tables()]
        for index, base in sorted(self.function.mapped.items()):
            if not self.function.bars[index].io and base is not None:
                rows.append(w.RANGE.pack(first_page=(base + offset) // PAGE & (1 << 64) - 1, pages=-(-self.function.bars[index].size // PAGE),
                                         attributes=(w.HAS_MSIX_TABLE | w.HAS_PBA) * (index in tables), id=index))
        control = 0 if msix is None else self.function.get(msix.at + 2, 2)
        fixed = w.REPORT.pack(interface_info=w.NO_UPDATE_AFTER_LOCK | w.DMA_WITHOUT_PASID, msix_control=control, ranges=len(rows))
        return fixed + b"".join(rows) + bytes(4)            # no information of the device's own
