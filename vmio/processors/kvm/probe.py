"""Can this host run a guest under KVM?  Found out by running one, not by reading CPU flags.

Flags lie in both directions: a nested host shows them and refuses, a container
has them and no device.  Two instructions in ring 3 leave no doubt.
"""

import os
import platform
import sys

from vmio.processors.kvm.device import NONE, device

_TRY_PORT, _TRY_VALUE = 0x80, 0x5A


def usable(path: str | None = None) -> tuple[bool, str]:
    """Return (True, "") or (False, why not and what would help), in words for a reader."""
    path = path or device()
    if path == NONE:
        return False, "KVM is left alone, for VMIO_KVM in the environment says so"
    if not sys.platform.startswith("linux"):
        return False, f"KVM is a part of Linux; this is {sys.platform}"
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False, f"the guest is x86-64 machine code; this processor is {platform.machine()}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return False, (f"there is no {path}: load the module kvm_intel or kvm_amd; inside a virtual machine its host "
                       f"must allow nested virtualization; a container must be started with --device {path}")
    except PermissionError:
        return False, (f"no permission to open {path} for reading and writing: join the group that owns it "
                       f"(sudo usermod -aG kvm $USER, then log in again)")
    except OSError as error:
        return False, f"{path} can't be opened: {error.strerror}"
    return _try(path)


def _try(path: str) -> tuple[bool, str]:
    from vmio.processors.kvm.code import Code  # not at the top: fcntl and signal timers exist on Unix only
    from vmio.processors.kvm.guest import Guest
    from vmio.processors.kvm.vcpu import End
    try:
        with Guest(device=path) as guest:
            run = guest.run(Code().out(_TRY_PORT, _TRY_VALUE))
    except (OSError, RuntimeError) as error:   # OSError: the ioctl that failed, by name
        return False, f"{path} opens, but a guest can't be run: {error}"
    if run.end is not End.DONE or [(exit.address, exit.value) for exit in run.exits][:1] != [(_TRY_PORT, _TRY_VALUE)]:
        return False, f"{path} opens, but a guest of two instructions in ring 3 ended otherwise than it must: {run}"
    return True, ""
