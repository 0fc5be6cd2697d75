"""SMART: what a disk reports of its own health (ATA/ATAPI-6, T13/1410D, 8.50 and the SMART data structures).

The disk never ages: the attributes are constants, those of QEMU's `ide-hd`.
"""

from vmio.machine.contracts import State

# subcommands in the features register
READ_DATA, READ_THRESHOLDS, AUTOSAVE, EXECUTE_OFFLINE, READ_LOG = 0xD0, 0xD1, 0xD2, 0xD4, 0xD5
ENABLE, DISABLE, RETURN_STATUS = 0xD8, 0xD9, 0xDA
KEY = (0x4F, 0xC2)  # cylinder low and high must hold this, or the command is aborted

SELF_TESTS = 21  # entries in the self-test log

# id: 11 bytes of the data page (id, flags, value, worst, six raw bytes), then the threshold
ATTRIBUTES = (
    ("01 0300 64 64 000000000000", 0x06),  # raw read error rate
    ("03 0300 64 64 100000000000", 0x00),  # spin-up time
    ("04 0200 64 64 640000000000", 0x14),  # start/stop count
    ("05 0300 64 64 000000000000", 0x24),  # sectors remapped
    ("09 0300 64 64 010000000000", 0x00),  # power-on hours
    ("0c 0300 64 64 000000000000", 0x00),  # power cycles
    ("be 0300 45 45 1f001f1f0000", 0x32),  # airflow temperature, Celsius
)


class Smart:
    """One disk's SMART state; it outlives resets, as the data sheet asks."""

    __slots__ = ("enabled", "autosave", "tests", "latest")

    def __init__(self) -> None:
        self.enabled = self.autosave = True
        self.tests: list[int] = []   # the kind of test in each slot of the log, a ring of 21
        self.latest = 0   # the slot filled last, from 1; 0 when there is none

    def data(self) -> bytes:
        """Return the 512 bytes of SMART READ DATA."""
        page = bytearray(512)
        page[0] = 1
        for n, (values, _) in enumerate(ATTRIBUTES):
            page[2 + 12 * n:13 + 12 * n] = bytes.fromhex(values)
        page[362] = 0x02 | (0x80 if self.autosave else 0)   # off-line collection completed
        page[364:366] = 0x20, 0x01                          # seconds to complete it
        page[367] = 0x19                                    # execute immediate, self-test, ... offered
        page[368], page[370] = 0x03, 0x01                   # saves attributes; error log offered
        page[372], page[373], page[374] = 0x02, 0x36, 0x01  # minutes: short, extended, conveyance test
        return checked(page)

    def thresholds(self) -> bytes:
        """Return the 512 bytes of SMART READ ATTRIBUTE THRESHOLDS."""
        page = bytearray(512)
        page[0] = 1
        for n, (values, threshold) in enumerate(ATTRIBUTES):
            page[2 + 12 * n], page[3 + 12 * n] = bytes.fromhex(values)[0], threshold
        return checked(page)

    def log(self, address: int) -> bytes | None:
        """Return the 512 bytes of a log page (1: errors, of which there are none; 6: self-tests), or None."""
        page = bytearray(512)
        page[0] = 1
        if address == 6:
            for n, kind in enumerate(self.tests):
                page[2 + 24 * n:6 + 24 * n] = kind, 0x00, 0x34, 0x12  # passed, at hour 0x1234
            page[508] = self.latest
        elif address != 1:
            return None
        return checked(page)

    def run_test(self, kind: int) -> None:
        """A self-test (0 off-line, 1 short, 2 extended) is over as soon as it is asked for."""
        self.latest = self.latest % SELF_TESTS + 1
        self.tests[self.latest - 1:self.latest] = [kind]

    def save(self) -> State:
        """Return the state as plain data."""
        return {"enabled": self.enabled, "autosave": self.autosave, "tests": list(self.tests), "latest": self.latest}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.enabled, self.autosave = state["enabled"], state["autosave"]
        self.tests, self.latest = list(state["tests"]), state["latest"]


def checked(page: bytearray) -> bytes:
    """`page` with its last byte set so that all 512 add up to zero."""
    page[511] = -sum(page[:511]) & 0xFF
    return bytes(page)
