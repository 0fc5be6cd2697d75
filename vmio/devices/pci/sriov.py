"""SR-IOV: one physical function (PF) that makes many virtual ones (VFs) of itself.

A VF has its own requester id, so an IOMMU tells it from the others, and its own
registers: a guest can drive it alone.  What a VF is made of is the device's affair.
Source: PCI Express SR-IOV 1.1, 2.1.2 "VF Discovery", 3.3 "SR-IOV Extended Capability".
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from vmio.devices.pci.bar import Bar, register_fields
from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.function import PciFunction
from vmio.devices.pci.wire import SRIOV, SRIOV_ID

(CONTROL, _), (NUMBER, _), (VF_BAR0, _) = (SRIOV.at(name) for name in ("control", "number", "bar0"))
ENABLE, MEMORY_ENABLE = 1 << 0, 1 << 3          # of CONTROL
ALL_PAGE_SIZES, PAGES_OF_4K = 0x553, 1          # 3.3.12: those that every PF has; 3.3.13


class Sriov(Capability):
    """Up to `total` virtual functions; `functions` are those there are now.

    `make(count)` gives a list of `count` `PciFunction`s when software enables them;
    each has the `bars` ({index: `Bar`} of one VF), and answers at the PF's VF BARs, one
    VF after the other.  `device` is the VFs' device id.  VF n's requester id is the
    PF's + `offset` + n * `stride`.
    """

    extended = True

    def __init__(self, make: Callable[[int], Sequence[PciFunction]], total: int, device: int, bars: Mapping[int, Bar] | None = None,
                 offset: int = 0x80, stride: int = 1) -> None:
        self.bars = dict(bars or {})
        power_on, writable = register_fields(self.bars, VF_BAR0)
        held = {"initial": total, "total": total, "offset": offset, "stride": stride, "device": device,
                "page_sizes": ALL_PAGE_SIZES, "page_size": PAGES_OF_4K}
        super().__init__(SRIOV_ID, SRIOV.size, [*((*SRIOV.at(name), value) for name, value in held.items()), *power_on],
                         [(*SRIOV.at("control"), ENABLE | MEMORY_ENABLE), (*SRIOV.at("number"), 0xFFFF), *writable])
        self.total = total
        self.functions: Sequence[PciFunction] = []
        self._make, self._offset, self._stride, self._is_on = make, offset, stride, False

    @property
    def enabled(self) -> bool:
        """Has software switched the virtual functions on?"""
        return bool(self.bytes[CONTROL] & ENABLE)

    def requester(self, number: int, physical: int) -> int:
        """Return the requester id of VF `number`, given the physical function's."""
        return physical + self._offset + self._stride * number

    def base(self, number: int, index: int) -> int | None:
        """Return where BAR `index` of VF `number` answers, or None: not enabled, or no address."""
        bar = self.bars[index]
        first = bar.base(self.get(VF_BAR0 + 4 * index, bar.register_bytes))
        return None if first is None or not self.bytes[CONTROL] & MEMORY_ENABLE else first + number * bar.size

    def write(self, offset: int, size: int, value: int) -> None:
        """Software writes; how many VFs there are is fixed while they are enabled, and at most `total` (3.3.7)."""
        enabled, number = self.enabled, self.get(NUMBER, 2)
        super().write(offset, size, value)
        self.put(NUMBER, 2, number if enabled else min(self.get(NUMBER, 2), self.total))

    def obey(self) -> None:
        """VF enable makes the virtual functions, or ends them; ValueError of `make`, and then there are none."""
        if self.enabled and not self._is_on:
            count = self.get(NUMBER, 2)
            try:
                functions = self._make(count) if count else []
            except ValueError:
                self.bytes[CONTROL] &= ~ENABLE
                raise
            for number, function in enumerate(functions):
                function.bar_base = partial(self.base, number)
            self.functions, self._is_on = functions, True
        elif self._is_on and not self.enabled:
            self._remove()
        for function in self.functions:
            function.obey()

    def reset(self) -> None:
        """The virtual functions are gone."""
        self._remove()
        super().reset()

    def _remove(self) -> None:
        functions, self.functions, self._is_on = self.functions, [], False
        for function in functions:
            function.bar_base = _nowhere
            function.reset()

    def save(self) -> Any:
        """Return the registers, and the configuration of each virtual function."""
        return {"registers": super().save(), "functions": [function.save() for function in self.functions]}

    def restore(self, state: Any) -> None:
        """Take back what `save` gave: the virtual functions, if there are not just as many, are made anew, and configured as they were."""
        if len(self.functions) != len(state["functions"]):
            self._remove()
        super().restore(state["registers"])
        self.obey()
        for function, saved in zip(self.functions, state["functions"], strict=True):
            function.restore(saved)


def _nowhere(index: int) -> None:
    """A virtual function that is gone answers nowhere."""
