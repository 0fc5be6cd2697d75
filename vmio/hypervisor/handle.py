"""At an exit: find who answers, count it, charge it, let them answer.

`handle_exit` is the whole story in ten lines.  What it finds out - which
device, at which offset, at what price - stays true until a bus changes, so it
is kept in an `Intercept` row; the vCPU's six register instructions go by those
rows directly, which is the same story without the detective work.
"""

from collections import deque
from collections.abc import Callable

from vmio.hypervisor.contracts import GuestCpu, Partition, Read, Write
from vmio.hypervisor.exits import OTHER, Exit, ExitCounts, ExitReason, Intercept, Nobody
from vmio.machine.bus import BadAccess, Bus, Region, all_ones
from vmio.machine.probes import watch

MAX_ROWS = 4096   # kinds of access that are told apart; a guest may try more


class InterceptTable:
    """A vCPU's intercepts: `ins`/`outs` by port + size * 65,536 for the register instructions, `others` by key,
    `plains` by (reason, address) for what the hypervisor answers itself.

    `rows` counts: at most `MAX_ROWS`, and one more for each device and instruction,
    at address `OTHER`, for all that came later or whose device has moved away.
    """

    POINTS = {"exited": "(`Exit`) when its device has been asked"}
    exited: Callable[[Exit], None] | None = None

    def __init__(self, guest: Partition, vcpu_index: int) -> None:
        self.guest, self.vcpu_index = guest, vcpu_index
        self.ins: dict[int, Intercept] = {}
        self.outs: dict[int, Intercept] = {}
        self.others: dict[tuple, Intercept] = {}
        self.plains: dict[tuple[ExitReason, int], Intercept] = {}
        self.rows: dict[tuple, Intercept] = {}
        self.trace: deque[Exit] | None = None
        self._untrace: Callable[[], None] | None = None
        guest.io.on_change.append(self.forget)
        guest.mmio.on_change.append(self.forget)

    def forget(self) -> None:
        """Forget what was found out, as a bus has changed.  The counts stay."""
        self.ins.clear()
        self.outs.clear()
        self.others.clear()
        for key, row in list(self.rows.items()):
            if row.owner is not None and self._bus(row.reason).find(row.owner.base) is not row.owner:
                del self.rows[key]
                self._sum_up(row)

    def save(self) -> list[list]:
        """Return the counts, a list for each row."""
        return [[reason, address, size, is_write, string, device, handler, whole, row.cost, row.count, row.extra_ns, row.moved,
                 row.owner is not None]
                for (reason, address, size, is_write, string, device, handler, whole), row in self.rows.items()]

    def restore(self, rows: list[list]) -> None:
        """Take back the counts; what was found out about the devices is found out anew."""
        self.forget()
        self.rows.clear()
        for reason, address, size, is_write, string, device, handler, whole, cost, count, extra_ns, moved, owned in rows:
            row = self._row(ExitReason(reason), address, size, is_write, device, handler, cost, string, whole)
            row.count, row.extra_ns, row.moved = count, extra_ns, moved
            if owned:
                row.owner = self._bus(row.reason).find(address)
                if whole and row.owner is not None:
                    row.owner.shortcuts.append(row)

    def _sum_up(self, row: Intercept) -> None:
        """The device of this row has gone (a BAR that moves, thousands of times): its counts stay, in the row of all such."""
        if row.count:
            total = self._row(row.reason, OTHER, row.size, row.is_write, row.device, row.handler, row.cost, row.string)
            total.count += row.count
            total.extra_ns += row.extra_ns
            total.moved += row.moved

    def _bus(self, reason: ExitReason) -> Bus:
        return self.guest.mmio if reason is ExitReason.EPT_VIOLATION else self.guest.io

    def keep_trace(self, last: int) -> None:
        """Record exits from now on, the last `last` of them."""
        if self._untrace is not None:
            self._untrace()
        self.trace = trace = deque[Exit](maxlen=last)
        self._untrace = watch(self, "exited", trace.append)

    def points_changed(self) -> None:
        """Rows are found out anew: those that are watched record, the others go to their device directly."""
        self.forget()

    @property
    def counts(self) -> ExitCounts:
        """`ExitCounts` over all rows."""
        return ExitCounts(self.rows.values())

    def plain(self, reason: ExitReason, address: int) -> Intercept:
        """Return the row of an exit that the hypervisor answers itself: CPUID, an MSR, a hypercall, HLT, an interrupt."""
        row = self._row(reason, address, 0, False, "hypervisor", "hypervisor", self.guest.host.costs.hypercall_ns)
        if row.address == address:
            self.plains[reason, address] = row
        return row

    def priced(self, reason: ExitReason, device: str, cost: int, is_write: bool = False) -> Intercept:
        """Return the row of an exit that the hypervisor answers itself at a price of its own, shown as `device`'s."""
        return self._row(reason, 0, 0, is_write, device, "hypervisor", cost)

    def register(self, reason: ExitReason, address: int, size: int, is_write: bool, string: bool = False) -> Intercept:
        """Return the row of an access to a port or to memory that is no RAM."""
        memory = reason is ExitReason.EPT_VIOLATION
        region, whole = self._bus(reason).find(address), self._bus(reason).whole(address, size) is not None
        # There are 65,536 ports but 2^48 memory addresses, and a guest may try them all: those share a row by device.
        key = (reason, region if memory else address, size, is_write, string, whole)
        row = self.others.get(key)
        if row is None:
            row = self._find_out(reason, address, size, is_write, string, region, whole)
            if row.address == OTHER:
                return row
            self.others[key] = row
            if not (memory or string):
                (self.outs if is_write else self.ins)[address + (size << 16)] = row
        return row

    def _find_out(self, reason: ExitReason, address: int, size: int, is_write: bool, string: bool, region: Region | None,
                  whole: bool) -> Intercept:
        memory = reason is ExitReason.EPT_VIOLATION
        bus = self._bus(reason)
        device, handler = (region.name, region.handler) if region else ("nobody", "worker")
        cost = self.guest.host.costs.access_ns(handler, decode=memory or string or not is_write)
        if memory:
            address = region.base if region else 0
        row = self._row(reason, address, size, is_write, device, handler, cost, string, whole)
        if row.address != OTHER:
            row.owner = region
        if whole and region is not None and row.owner is not None:
            row.region, row.base, row.offset = region, region.base, address - region.base
            read: Read = region.device.read
            write: Write = region.device.write
            if row not in region.shortcuts:
                region.shortcuts.append(row)
        else:
            row.region, row.base, row.offset = Nobody(), 0, address
            read, write = bus.read, bus.write
        if self.exited is not None and not string:   # string I/O records itself, once for all its units
            read, write = self._recorded(row, read, write)
        row.read, row.write = read, write
        return row

    def _row(self, reason: ExitReason, address: int, size: int, is_write: bool, device: str, handler: str, cost: int,
             string: bool = False, whole: bool = False) -> Intercept:
        key = (reason, address, size, is_write, string, device, handler, whole)
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= MAX_ROWS and address != OTHER:
                return self._row(reason, OTHER, size, is_write, device, handler, cost, string)
            row = self.rows[key] = Intercept(reason, address, size, is_write, device, handler, cost, string)
        return row

    def _recorded(self, row: Intercept, read: Read, write: Write) -> tuple[Read, Write]:
        def recorded_read(offset: int, size: int) -> int:
            value = all_ones(size)          # what the guest gets if the device refuses
            try:
                value = read(offset, size)
                return value
            finally:
                self.record(row, value, address=row.base + offset, paid=row.cost)

        def recorded_write(offset: int, size: int, value: int) -> None:
            self.record(row, value, address=row.base + offset, paid=row.cost)
            write(offset, size, value)
        return recorded_read, recorded_write

    def record(self, row: Intercept, value: int, count: int = 1, cost: int | None = None, address: int | None = None,
               paid: int = 0) -> None:
        """Tell who watches of one `Exit`, by the time at which it began; `paid` ns of its price are charged already."""
        if self.exited is not None:
            self.exited(Exit(self.guest.clock.now - paid, self.guest.name, self.vcpu_index, row.reason,
                                   row.address if address is None else address, row.size, value, row.is_write, count, row.device, row.handler,
                                   row.cost if cost is None else cost))


def handle_exit(vcpu: GuestCpu, exit: Exit) -> int:
    """Answer one register access (`Exit` with a port or memory address); returns what the guest's register gets.

    Counts it, charges its price to the vCPU, and never raises for what a guest
    asked: what the chip lacks reads as ones.  ValueError for other exit reasons.
    """
    if exit.reason not in (ExitReason.IO_INSTRUCTION, ExitReason.EPT_VIOLATION) or exit.count != 1:
        raise ValueError(f"handle_exit: {exit.reason} x {exit.count}; it answers single register accesses")
    row = vcpu.table.register(exit.reason, exit.address, exit.size, exit.write)
    vcpu.charge(row)
    value, offset = 0, exit.address - row.base
    try:
        if exit.write:
            row.write(offset, exit.size, exit.value)
        else:
            value = row.read(offset, exit.size)
    except BadAccess:
        row.region.bad += 1
        value = 0 if exit.write else all_ones(exit.size)
    if vcpu.attention:
        vcpu.attend()
    return value
