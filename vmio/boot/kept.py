"""The kernel that `vmio linux get` keeps, with an initramfs of our own for the disks that a machine has."""

from collections.abc import Sequence
from pathlib import Path

from vmio.boot.params import EMULATED, PASSED, SPLIT, VPCI, BootParams, checked
from vmio.linux import initramfs, kept


def modules(params: BootParams) -> list[str]:
    """Return the modules that the devices and services of `params` need, as `initramfs.build` takes them; NVMe's are built into the kernel."""
    modes = checked(params).modes
    by_virtio = SPLIT in modes and params.dialect == "virtio"
    wanted = [*(["libata", "ata_piix"] if EMULATED in modes else []),
              *(["hv_storvsc"] if SPLIT in modes and not by_virtio else [])]
    on_bus = [*(["hv_netvsc"] if params.net == SPLIT else []), *(["pci-hyperv"] if VPCI in modes else []),
              *(["hv_balloon"] if params.balloon is not None else []), *([initramfs.UTILITIES] if params.services else [])]
    return [*wanted, *(["sd_mod"] if wanted else []), *(["virtio_pci", "virtio_blk"] if by_virtio else []), *on_bus]


def kernel(params: BootParams, commands: Sequence[str] = (), cache: Path | None = None) -> tuple[bytes, bytes]:
    """Return (kernel, initramfs): it runs `commands` and switches the machine off, or without any begins a shell.

    `cache` is where they are kept (None: in the checkout).  ValueError if nothing is kept there, or what is was changed, and
    for a device that this kernel has no driver for.
    """
    if params.net in (EMULATED, PASSED):
        driver = "tulip" if params.net == EMULATED else "igbvf"
        raise ValueError(f"net {params.net}: the kept kernel is Debian's for clouds, which has no driver for that card ({driver}); "
                         "name one that has, --kernel FILE --initrd FILE: linux-image-6.1.0-56-amd64's, with its module in the initramfs")
    found = kept.find(cache)
    return found.read("vmlinuz"), initramfs.build(found, commands, modules(params))
