"""MSI: a function interrupts by writing `data` to `address`, both kept in its configuration space.

Source: PCI Local Bus Specification 3.0, 6.8.1 "MSI Capability Structure".
"""

from vmio.devices.pci.capabilities import Capability

MSI_ID = 0x05
CONTROL, ADDRESS = 2, 4
ENABLE = 0x0001
WIDE, MASKABLE = 0x0080, 0x0100         # of CONTROL: 64-bit address, per-vector masks


class Msi(Capability):
    """`vectors` messages (a power of two, at most 32) that differ in the low bits of the data; `notify` sends one.

    `wide` has an address of 64 bits; `maskable` has a mask and a pending bit for each vector.
    """

    def __init__(self, vectors=1, wide=True, maskable=False, at=None):
        if vectors not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"MSI vectors {vectors}: 1, 2, 4, 8, 16 or 32")
        self._data = 12 if wide else 8
        self._mask = self._data + 4 if maskable else None
        self._log = vectors.bit_length() - 1
        writable = [(CONTROL, 2, 0x0071), (ADDRESS, 4, 0xFFFF_FFFC), (self._data, 2, 0xFFFF)]
        if wide:
            writable.append((ADDRESS + 4, 4, 0xFFFF_FFFF))
        if maskable:
            writable.append((self._mask, 4, (1 << vectors) - 1))
        super().__init__(MSI_ID, self._data + (12 if maskable else 2),
                         [(CONTROL, 2, self._log << 1 | wide * WIDE | maskable * MASKABLE)], writable, at)
        self.vectors, self._wide = vectors, wide

    @property
    def enabled(self):
        """Does the function interrupt by MSI?"""
        return bool(self.bytes[CONTROL] & ENABLE)

    def message(self, vector):
        """The (address, data) of a vector; of fewer that software grants, several share one."""
        granted = 1 << (self.bytes[CONTROL] >> 4 & 7)
        data = self.get(self._data, 2)
        return self.get(ADDRESS, 8 if self._wide else 4), data & ~(granted - 1) | vector % granted

    def notify(self, vector=0):
        """The device has something to say on `vector`; while that is masked, it is pending."""
        if self._mask is not None and self.get(self._mask, 4) >> vector & 1:
            self.put(self._mask + 4, 4, self.get(self._mask + 4, 4) | 1 << vector)
        elif self.enabled:
            self.function.message(*self.message(vector))

    def obey(self):
        """Software gets no more vectors than there are; what was pending leaves when its mask goes."""
        if not self.enabled:
            return
        if self.bytes[CONTROL] >> 4 & 7 > self._log:
            self.bytes[CONTROL] = self.bytes[CONTROL] & ~0x70 | self._log << 4
        if self._mask is not None:
            leaving = self.get(self._mask + 4, 4) & ~self.get(self._mask, 4)
            self.put(self._mask + 4, 4, self.get(self._mask + 4, 4) & ~leaving)
            for vector in range(self.vectors):
                if leaving >> vector & 1:
                    self.notify(vector)
