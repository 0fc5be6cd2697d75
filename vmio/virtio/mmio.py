"""A virtio device at an address of its own, without PCI: some 25 registers, and an interrupt line.

Source: VIRTIO 1.2, 4.2 "Virtio Over MMIO", 4.2.2 "MMIO Device Register Layout" (version 2).
"""

from vmio.machine.bus import BadAccess
from vmio.machine.contracts import State
from vmio.machine.layout import placed, u32
from vmio.machine.lines import Line
from vmio.virtio.device import Setup, VirtioDevice

MAGIC, VERSION, VENDOR = 0x74726976, 2, 0x554D4551          # "virt"; QEMU's devices say "QEMU"
CONFIG, BYTES = 0x100, 0x200
QUEUE_ISR, CONFIG_ISR = 1, 2
REGISTERS = placed("virtio_mmio", CONFIG, {
    0x00: u32("magic"), 0x04: u32("version"), 0x08: u32("device_id"), 0x0C: u32("vendor"), 0x10: u32("device_features"),
    0x14: u32("device_features_sel"), 0x20: u32("driver_features"), 0x24: u32("driver_features_sel"), 0x30: u32("queue_sel"),
    0x34: u32("queue_num_max"), 0x38: u32("queue_num"), 0x44: u32("queue_ready"), 0x50: u32("queue_notify"),
    0x60: u32("interrupt_status"), 0x64: u32("interrupt_ack"), 0x70: u32("status"), 0x80: u32("queue_desc_low"),
    0x84: u32("queue_desc_high"), 0x90: u32("queue_driver_low"), 0x94: u32("queue_driver_high"), 0xA0: u32("queue_device_low"),
    0xA4: u32("queue_device_high"), 0xAC: u32("shm_sel"), 0xB0: u32("shm_len_low"), 0xB4: u32("shm_len_high"),
    0xB8: u32("shm_base_low"), 0xBC: u32("shm_base_high"), 0xC0: u32("queue_reset"), 0xFC: u32("config_generation")})
NAMES = {field.offset: field.name for field in REGISTERS.fields if field.size == 4 and not field.name.startswith("reserved")}
ADDRESSES = {"desc": "descriptors", "driver": "driver", "device": "device"}


class VirtioMmio:
    """The registers of `device`; attach them with width 4 for `BYTES` bytes.  `line` is up while the driver has something to see to."""

    def __init__(self, device: VirtioDevice, line: Line) -> None:
        self.device, self.line = device, line
        device.transport = self
        self._clear()

    def _clear(self) -> None:
        self.device_select = self.driver_select = self.select = self.isr = 0
        self.line.set(0)

    def reset(self) -> None:
        """As at power-on."""
        self.device.reset()
        self._clear()

    @property
    def _setup(self) -> Setup:
        """The queue that is selected; one that is not there has size 0."""
        return self.device.setups[self.select] if self.select < len(self.device.setups) else Setup(0)

    def read(self, offset: int, size: int) -> int:
        """Return a register, whole; in the configuration space, any bytes.  Registers that are only written read 0."""
        device = self.device
        if offset >= CONFIG:
            return device.read_config(offset - CONFIG, size)
        name = self._name(offset, size)
        if name == "device_features":
            return device.features >> 32 * self.device_select & 0xFFFF_FFFF if self.device_select < 2 else 0
        if name.startswith("shm_") and name != "shm_sel":
            return 0xFFFF_FFFF                   # there is no shared memory (4.2.2.1)
        return {"magic": MAGIC, "version": VERSION, "device_id": device.type, "vendor": VENDOR, "queue_num_max": self._setup.max_size,
                "queue_ready": int(self._setup.enabled), "interrupt_status": self.isr, "status": device.read_status(),
                "config_generation": device.generation}.get(name, 0)

    def write(self, offset: int, size: int, value: int) -> None:
        """Write a register, whole; in the configuration space, any bytes."""
        device, setup = self.device, self._setup
        if offset >= CONFIG:
            device.write_config(offset - CONFIG, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))
            return
        name = self._name(offset, size)
        if name == "queue_notify":
            device.kick(value & 0xFFFF)
        elif name == "interrupt_ack":
            self.isr &= ~value
            self.line.set(bool(self.isr))
        elif name == "status":
            if not value & 0xFF:
                self._clear()
            device.write_status(value & 0xFF)
        elif name == "device_features_sel":
            self.device_select = value
        elif name == "driver_features_sel":
            self.driver_select = value
        elif name == "driver_features" and self.driver_select < 2:
            at = 32 * self.driver_select
            device.agree(device.agreed & ~(0xFFFF_FFFF << at) | value << at)
        elif name == "queue_sel":
            self.select = value
        elif name == "queue_ready":
            if value & 1:
                device.enable(self.select)
            elif setup.enabled:
                device.reset_queue(self.select)
        elif name == "queue_reset":
            if value & 1 and setup.enabled:
                device.reset_queue(self.select)
        elif name == "queue_num":
            if 0 < value <= setup.max_size and not setup.enabled:
                setup.size = value
        elif name.startswith("queue_") and not setup.enabled:
            self._set_address(setup, name, value)

    @staticmethod
    def _set_address(setup: Setup, name: str, value: int) -> None:
        _, part, half = name.split("_")
        if part in ADDRESSES:
            old, shift = getattr(setup, ADDRESSES[part]), 32 if half == "high" else 0
            setattr(setup, ADDRESSES[part], old & ~(0xFFFF_FFFF << shift) | value << shift)

    @staticmethod
    def _name(offset: int, size: int) -> str:
        """The register at `offset`; `BadAccess` unless all of its 32 bits are meant (4.2.2.2)."""
        if size != 4 or offset & 3:
            raise BadAccess(f"virtio mmio: {size} bytes at {offset:#x}; registers have 32 bits")
        return NAMES.get(offset, "")

    def queue_interrupt(self, number: int) -> None:
        """See `Transport`."""
        self._interrupt(QUEUE_ISR)

    def config_interrupt(self) -> None:
        """See `Transport`."""
        self._interrupt(CONFIG_ISR)

    def _interrupt(self, why: int) -> None:
        self.isr |= why
        self.line.set(1)

    def save(self) -> State:
        """Return what the driver has selected, and what it has not seen to; the device's own state is its owner's."""
        return {"selects": [self.device_select, self.driver_select, self.select], "isr": self.isr}

    def restore(self, state: State) -> None:
        """Take back what `save` gave."""
        self.device_select, self.driver_select, self.select = state["selects"]
        self.isr = state["isr"]
        self.line.set(bool(self.isr))
