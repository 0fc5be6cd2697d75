"""The kernel and busybox for tests that need them: in CI they are taken, elsewhere they are used if they are there."""

import hashlib
import os

import pytest

from vmio.linux import apt, deb, kept
from vmio.linux.packages import KERNEL, RELEASE, Package

MEMTEST = Package("memtest86+", "6.10-4", "76a2939452a8b7dba642c97a63e42b985b76eba51ea1330038957239d4a47154", "GPL-2.0-only")

FSCK = Package("e2fsck-static", "1.47.0-2+b2", "2a4944f323de78fcb8bc77151d9ec3282525e6e205a7bec30912eef91aa13a4c", "GPL-2.0-only")


def kernel():
    """What `vmio linux get` keeps in this checkout.  Without it: in CI it is taken from Debian, elsewhere the test is skipped aloud."""
    if os.environ.get("CI"):
        return kept.get()
    try:
        found = kept.find()
    except ValueError as error:
        pytest.skip(f"NOT RUN: {error}")
    if not found.whole:
        pytest.fail(f"{found.folder} is damaged; remove it and run: python -m vmio linux get")
    return found


def memtest(folder):
    """memtest86+, an operating system of its own that is a bzImage, too: in CI taken from Debian by way of `folder`, elsewhere skipped."""
    if not os.environ.get("CI"):
        pytest.skip("NOT RUN: with CI=1 memtest86+ is taken from Debian and tests our guest's memory")
    package = apt.download(MEMTEST, folder)
    assert hashlib.sha256(package).hexdigest() == MEMTEST.sha256
    return deb.contents(package, ["boot/memtest86+x64.bin"])["boot/memtest86+x64.bin"]


GENERIC = Package("linux-image-6.1.0-56-amd64", "6.1.192-2", "a86e2049672f52354c4536a089203b6c82639420424d31c91cf31a181fd4d8f1", "GPL-2.0-only")


MODULES = {"tulip": "net/ethernet/dec/tulip", "igbvf": "net/ethernet/intel/igbvf", "hv_vmbus": "hv", "pci-hyperv": "pci/controller",
           "pci-hyperv-intf": "pci/controller"}


class Generic:
    """Debian's ordinary kernel with drivers that the one for clouds has not (`MODULES`); as `initramfs.build` reads what is kept."""

    def __init__(self, folder):
        package = apt.download(GENERIC, folder)
        assert hashlib.sha256(package).hexdigest() == GENERIC.sha256
        release = GENERIC.name.removeprefix("linux-image-")
        self._image = f"boot/vmlinuz-{release}"
        self._paths = {name: f"lib/modules/{release}/kernel/drivers/{folder}/{name}.ko" for name, folder in MODULES.items()}
        self._found = deb.contents(package, [self._image, *self._paths.values()])

    def read(self, name):
        return self._found[self._image] if name == "vmlinuz" else kernel().read(name)

    def module(self, name):
        return self._found[self._paths[name]]


def generic(folder):
    """That kernel: in CI taken from Debian by way of `folder`, elsewhere the test is skipped aloud."""
    if not os.environ.get("CI"):
        pytest.skip(f"NOT RUN: with CI=1 {GENERIC.name} is taken from Debian, and its drivers drive our network cards")
    return Generic(folder)


SOCKETS = {"vsock": "net/vmw_vsock", "hv_sock": "net/vmw_vsock"}


class WithSockets:
    """The kernel that is kept, with two modules of its package that are not: sockets to the host; as `initramfs.build` reads what is kept."""

    def __init__(self, folder):
        package = apt.download(KERNEL, folder)
        assert hashlib.sha256(package).hexdigest() == KERNEL.sha256
        paths = {name: f"lib/modules/{RELEASE}/kernel/{folder}/{name}.ko" for name, folder in SOCKETS.items()}
        found = deb.contents(package, list(paths.values()))
        self._modules = {name: found[path] for name, path in paths.items()}

    def read(self, name):
        return kernel().read(name)

    def module(self, name):
        return self._modules[name] if name in self._modules else kernel().module(name)


def with_sockets(folder):
    """That: in CI the package is taken from Debian by way of `folder`, elsewhere the test is skipped aloud."""
    if not os.environ.get("CI"):
        pytest.skip(f"NOT RUN: with CI=1 {KERNEL.name} is taken from Debian, and its hv_sock uses our sockets")
    return WithSockets(folder)


def fsck(folder):
    """e2fsck, one file that needs no other, for a guest to check its disk with: in CI taken from Debian by way of `folder`, elsewhere None."""
    if not os.environ.get("CI"):
        return None
    package = apt.download(FSCK, folder)
    assert hashlib.sha256(package).hexdigest() == FSCK.sha256
    return deb.contents(package, ["sbin/e2fsck.static"])["sbin/e2fsck.static"]
