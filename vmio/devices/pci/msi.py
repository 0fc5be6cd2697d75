"""MSI: a function interrupts by writing `data` to `address`, both kept in its configuration space.

Source: PCI Local Bus Specification 3.0, 6.8.1 "MSI Capability Structure".
"""

from vmio.devices.pci.capabilities import Capability
from vmio.devices.pci.wire import MSI_ENABLE, MSI_ID, MSI_MASKABLE, MSI_WIDE, msi

CONTROL, _ = msi(False, False).at("control")


class Msi(Capability):
    """`vectors` messages (a power of two, at most 32) that differ in the low bits of the data; `notify` sends one.

    `wide` has an address of 64 bits; `maskable` has a mask and a pending bit for each vector.
    """

    def __init__(self, vectors: int = 1, wide: bool = True, maskable: bool = False, at: int | None = None) -> None:
        if vectors not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"MSI vectors {vectors}: 1, 2, 4, 8, 16 or 32")
        layout = msi(wide, maskable)
        self._address, self._data = layout.at("address"), layout.at("data")
        self._mask: tuple[int, int] | None = layout.at("mask") if maskable else None
        self._pending = layout.at("pending") if maskable else (0, 0)     # used with the mask alone
        self._log = vectors.bit_length() - 1
        writable = [(*layout.at("control"), 0x0071), (*self._address, 0xFFFF_FFFF_FFFF_FFFC if wide else 0xFFFF_FFFC),
                    (*self._data, 0xFFFF)]
        if self._mask is not None:
            writable.append((*self._mask, (1 << vectors) - 1))
        super().__init__(MSI_ID, layout.size,
                         [(*layout.at("control"), self._log << 1 | wide * MSI_WIDE | maskable * MSI_MASKABLE)], writable, at)
        self.vectors = vectors

    @property
    def enabled(self) -> bool:
        """Does the function interrupt by MSI?"""
        return bool(self.bytes[CONTROL] & MSI_ENABLE)

    def message(self, vector: int) -> tuple[int, int]:
        """Return the (address, data) of a vector; of fewer that software grants, several share one."""
        granted = 1 << (self.bytes[CONTROL] >> 4 & 7)
        data = self.get(*self._data)
        return self.get(*self._address), data & ~(granted - 1) | vector % granted

    def notify(self, vector: int = 0) -> None:
        """The device has something to say on `vector`; while that is masked, it is pending."""
        if self._mask is not None and self.get(*self._mask) >> vector & 1:
            self.put(*self._pending, self.get(*self._pending) | 1 << vector)
        elif self.enabled and self.function is not None:
            self.function.message(*self.message(vector))

    def obey(self) -> None:
        """Software gets no more vectors than there are; what was pending leaves when its mask goes."""
        if not self.enabled:
            return
        if self.bytes[CONTROL] >> 4 & 7 > self._log:
            self.bytes[CONTROL] = self.bytes[CONTROL] & ~0x70 | self._log << 4
        if self._mask is not None:
            leaving = self.get(*self._pending) & ~self.get(*self._mask)
            self.put(*self._pending, self.get(*self._pending) & ~leaving)
            for vector in range(self.vectors):
                if leaving >> vector & 1:
                    self.notify(vector)
