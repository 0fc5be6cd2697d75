"""Whether a kernel could run on this host's /dev/kvm: one instruction in ring 0 says so; `vmio boot` says it in a sentence."""

import pytest

from tests.command_rig import refused, vmio
from vmio.processors.kvm.kernels import NOT_BUILT, kernels
from vmio.processors.kvm.probe import usable


def test_without_a_device_it_is_the_probes_sentence():
    assert kernels("/nowhere") == usable("/nowhere") and "there is no /nowhere" in kernels("/nowhere")[1]


def test_ring_0_is_entered_and_what_is_told_is_about_that_instruction():
    works, why = usable()
    if not works:
        pytest.skip(why)
    done, said = kernels(program=b"\x90\xfa\x90")       # CLI: #GP in ring 3
    assert not done and said.startswith("LOCK CMPXCHG16B in ring 0") and ": done at " in said, "ran to its end; nothing was exchanged"
    works, why = kernels()
    assert works or "doesn't know LOCK CMPXCHG16B" in why


def test_the_command_says_so():
    refused(vmio("boot", "--processor", "kvm", "--kernel", "x"), f"--processor kvm: {kernels()[1] or NOT_BUILT}")
