"""Which file leads to KVM, and how a user hides it.  Importable on any host."""

import os

NONE = "none"       # as VMIO_KVM: leave KVM alone, as if there were none


def device() -> str:
    """Return the file to open: /dev/kvm, or what VMIO_KVM in the environment names; "none" hides KVM."""
    return os.environ.get("VMIO_KVM") or "/dev/kvm"
