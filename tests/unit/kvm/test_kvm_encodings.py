"""What the way to KVM can be asked on any host: machine code, the kernel's structures, and why a host can't be used."""

import ctypes
import importlib
import os
import platform
import sys

import pytest

from vmio.processors.kvm import probe
from vmio.processors.kvm.code import Code

LINUX = sys.platform.startswith("linux")
on_linux = pytest.mark.skipif(not LINUX, reason=f"KVM's interface exists on Linux only, this is {sys.platform}")

if LINUX:
    from vmio.processors.kvm import api, longmode
    from vmio.processors.kvm.vm import Vm


# Everywhere.

@pytest.mark.parametrize("code, expected", [
    (Code().out(0x3F8, 0x41), "baf8030000 b841000000 ee"),
    (Code().out(0x1F0, 0xBEEF, 2), "baf0010000 b8efbe0000 66ef"),
    (Code().in_(0xCFC, 4, to=0x1000), "bafc0c0000 ed a30010000000000000"),
    (Code().in_(0x60, 2, to=0x1000), "ba60000000 66ed 66a30010000000000000"),
    (Code().rep_outs(0x3F8, 0x2000, 5), "baf8030000 48be0020000000000000 b905000000 f36e"),
    (Code().rep_ins(0x1F0, 0x2000, 256, 2), "baf0010000 48bf0020000000000000 b900010000 66f36d"),
    (Code().store(0xFEB00000, 1, 1), "48bf0000b0fe00000000 b801000000 8807"),
    (Code().store(0xFEB00000, 1, 4), "48bf0000b0fe00000000 b801000000 8907"),
    (Code().load(0xFEB00000, 2), "48be0000b0fe00000000 668b06"),
    (Code().hlt().loop_forever(), "f4 ebfe"),
])
def test_encoding(code, expected):
    assert bytes(code) == bytes.fromhex(expected)


@pytest.mark.parametrize("wrong", [lambda: Code().out(0x10000, 0), lambda: Code().out(0x80, 256),
                                   lambda: Code().out(0x80, 0, 3), lambda: Code().store(-1, 0),
                                   lambda: Code().rep_ins(0x80, 0, 1 << 32)])
def test_what_has_no_encoding_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong()


@on_linux
def test_structures_and_numbers_are_the_kernels():
    """Sizes and numbers as a C compiler prints them from include/uapi/linux/kvm.h on x86-64."""
    sizes = {api.MemoryRegion: 32, api.IoEventFd: 64, api.CoalescedZone: 16, api.Regs: 144, api.Segment: 24,
             api.Table: 16, api.Sregs: 312}
    assert {structure: ctypes.sizeof(structure) for structure in sizes} == sizes
    assert (api.SET_USER_MEMORY_REGION, api.IOEVENTFD, api.RUN) == (0x4020AE46, 0x4040AE79, 0xAE80)
    assert (api.GET_REGS, api.SET_REGS, api.GET_SREGS, api.SET_SREGS) == (
        0x8090AE81, 0x4090AE82, 0x8138AE83, 0x4138AE84)
    assert (api.REGISTER_COALESCED_MMIO, api.SET_TSS_ADDR, api.CREATE_VCPU) == (0x4010AE67, 0xAE47, 0xAE41)


@on_linux
def test_task_state_grants_the_ports_named_and_no_others():
    state = longmode.task_state([0x80, 0x3F8])
    denied = {port for port in range(65536) if state[longmode.TSS_BYTES + port // 8] >> port % 8 & 1}
    assert set(range(65536)) - denied == {0x80, 0x3F8}
    assert not any(longmode.task_state()[longmode.TSS_BYTES:longmode.TSS_LIMIT])
    assert state[-1] == 0xFF and len(state) == longmode.TSS_LIMIT + 1


def test_probe_says_that_it_is_not_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert probe.usable() == (False, "KVM is a part of Linux; this is darwin")


@on_linux
def test_probe_says_why_a_linux_host_cannot(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(platform, "machine", lambda: "aarch64")
        assert probe.usable() == (False, "the guest is x86-64 machine code; this processor is aarch64")
    monkeypatch.delenv("VMIO_KVM", raising=False)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    works, reason = probe.usable(str(tmp_path / "kvm"))
    assert not works and f"there is no {tmp_path}/kvm" in reason and "kvm_intel or kvm_amd" in reason
    works, reason = probe.usable("/dev/null")
    assert not works and "KVM_GET_API_VERSION" in reason

    def denied(*args):
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(os, "open", denied)
    works, reason = probe.usable()
    assert not works and "no permission to open /dev/kvm" in reason and "usermod -aG kvm" in reason


@on_linux
def test_the_environment_may_name_another_device(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setenv("VMIO_KVM", str(tmp_path / "kvm"))
    assert probe.usable()[0] is False and f"there is no {tmp_path / 'kvm'}" in probe.usable()[1]
    with pytest.raises(FileNotFoundError):
        Vm()
    monkeypatch.setenv("VMIO_KVM", "none")
    assert probe.usable() == (False, "KVM is left alone, for VMIO_KVM in the environment says so")


@on_linux
def test_probe_names_the_call_that_failed(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    vm = importlib.import_module("vmio.processors.kvm.vm")

    def ioctl(fd, number, argument=0):
        if number == api.GET_API_VERSION:
            return api.API_VERSION
        raise OSError(16, "Device or resource busy")
    monkeypatch.setattr(vm.fcntl, "ioctl", ioctl)
    assert probe.usable("/dev/null") == (
        False, "/dev/null opens, but a guest can't be run: [Errno 16] KVM_CREATE_VM: Device or resource busy")
