"""GET LOG PAGE: errors, health, firmware, changed namespaces, which commands exist.

Source: NVMe 1.4, 5.14.1.
"""

import struct
from collections.abc import Sequence

from vmio.hardware.nvme import pages
from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.identify import NOW_K
from vmio.hardware.nvme.wire import DNR, EVERY_NAMESPACE, INVALID_FIELD, INVALID_NAMESPACE, Failed

ERRORS, HEALTH, FIRMWARE, CHANGED_NAMESPACES, EFFECTS = 1, 2, 3, 4, 5
SUPPORTED, CHANGES_DATA = 1, 2                  # 5.14.1.5: command effects
NAMESPACES_CHANGE = 8
ADMIN_EFFECTS = dict.fromkeys((w.DELETE_SQ, w.CREATE_SQ, w.GET_LOG_PAGE, w.DELETE_CQ, w.CREATE_CQ, w.IDENTIFY,
                               w.ABORT, w.SET_FEATURES, w.GET_FEATURES, w.ASYNC_EVENT, w.VIRTUALIZATION,
                               w.DOORBELL_BUFFER), SUPPORTED)
ADMIN_EFFECTS |= {w.NAMESPACE_ATTACHMENT: SUPPORTED | NAMESPACES_CHANGE, w.FORMAT_NVM: SUPPORTED | CHANGES_DATA}
NVM_EFFECTS = {w.READ: SUPPORTED, w.COMPARE: SUPPORTED, w.VERIFY: SUPPORTED}
NVM_EFFECTS |= dict.fromkeys((w.FLUSH, w.WRITE, w.WRITE_ZEROES, w.DATASET, w.COPY), SUPPORTED | CHANGES_DATA)
ADMIN_ONLY = 7                                  # CC.CSS


def answer(controller: Controller, nsid: int, dwords: Sequence[int]) -> bytes:
    """Return the bytes that GET LOG PAGE returns; `dwords` are 10 to 13."""
    dword10, dword11, low, high = dwords
    page, keep_event = dword10 & 0xFF, dword10 >> 15 & 1
    length = ((dword11 & 0xFFFF) << 16 | dword10 >> 16) + 1 << 2
    offset = high << 32 | low
    if offset & 3 or length > controller.max_bytes:
        raise Failed(INVALID_FIELD | DNR)
    events = controller.events
    if page == ERRORS:
        data = bytes(64)                        # one entry; no error has been logged
    elif page == HEALTH:
        data = _health(controller, nsid, offset)
    elif page == FIRMWARE:
        data = pages.FIRMWARE.pack(active=1, slot1=b"1.0".ljust(8))
    elif page == CHANGED_NAMESPACES:
        data = struct.pack("<I", events.changed).ljust(4096, b"\0")       # namespace 1, or none
    elif page == EFFECTS:
        data = _effects(controller.command_set)
    else:
        raise Failed(INVALID_FIELD | DNR)
    if offset >= len(data):
        raise Failed(INVALID_FIELD | DNR)
    if not keep_event and page in (ERRORS, HEALTH):
        events.seen(w.EVENT_ERROR if page == ERRORS else w.EVENT_SMART)
    elif not keep_event and page == CHANGED_NAMESPACES:
        events.changed = False                  # the list is of what has changed since it was read
        events.seen(w.EVENT_NOTICE)
    return data[offset:offset + length]


def _health(controller: Controller, nsid: int, offset: int) -> bytes:
    """5.14.1.2: temperature, and what was read and written in thousands of 512-byte units."""
    if offset < 512 and nsid not in (1, EVERY_NAMESPACE):
        raise Failed(INVALID_NAMESPACE | DNR)
    counters = controller.counters
    return pages.HEALTH.pack(
        critical=controller.features.too_hot_or_cold() << 1, temperature=NOW_K, read=-(-counters["sectors_read"] // 1000),
        written=-(-counters["sectors_written"] // 1000), reads=counters["reads"], writes=counters["writes"],
        hours=controller.clock.now // 3_600_000_000_000)


def _effects(command_set: int) -> bytes:
    """5.14.1.5: four bytes an opcode, admin commands first."""
    page = [0] * 512
    for opcode, effect in ADMIN_EFFECTS.items():
        page[opcode] = effect
    if command_set != ADMIN_ONLY:
        for opcode, effect in NVM_EFFECTS.items():
            page[256 + opcode] = effect
    return struct.pack("<512I", *page).ljust(4096, b"\0")
