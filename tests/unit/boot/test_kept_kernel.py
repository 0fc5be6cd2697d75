"""The kernel of `vmio linux get`, with an initramfs for the disks that it will find; what `vmio boot` does with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_rig import posix, refused, vmio, with_source
from tests.linux_files import kernel
from vmio.boot import kept
from vmio.boot.params import BootParams
from vmio.boot.run import boot
from vmio.data import path
from vmio.machine.storage import Image


ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("params, wanted", [
    (dict(), []), (dict(modes=("nvme", "passthrough")), []), (dict(modes=("split",)), ["hv_storvsc", "sd_mod"]),
    (dict(modes=("emulated",)), ["libata", "ata_piix", "sd_mod"]),
    (dict(modes=("emulated",), transfer="pio"), ["libata", "ata_piix", "sd_mod"]),
    (dict(net="split", services=True), ["hv_netvsc", "hv_utils"]), (dict(modes=("vpci",)), ["pci-hyperv"]), (dict(services=True), ["hv_utils"]),
    (dict(modes=("split", "vpci"), services=True), ["hv_storvsc", "sd_mod", "pci-hyperv", "hv_utils"]),
    (dict(modes=("all",)), ["libata", "ata_piix", "hv_storvsc", "sd_mod"])])
def test_which_modules(params, wanted):
    assert kept.modules(BootParams(**params)) == wanted


@pytest.mark.parametrize("arguments, why", [
    (["--initrd", "x", "--run", "ls"], "--run ls: no effect with --initrd"), (["--kernel", "x", "--run", "ls"], "--run ls: no effect with --kernel"),
    (["--initrd", "/nowhere"], "--initrd /nowhere: No such file"),
    (["--kernel", "x", "--cache", "y"], "--cache y: no effect with --kernel"), (["--cache", "/nowhere"], "there is no kernel in /nowhere"),
    (["--net", "emulated"], "net emulated: the kept kernel is Debian's for clouds, which has no driver for that card (tulip)"),
    (["--net", "passthrough"], "net passthrough: the kept kernel is Debian's for clouds, which has no driver for that card (igbvf)"),
    (["--cache", ""], "--cache: the name is empty"), (["--run", "a\nb"], "command 'a\\nb': one line"),
    (["--kernel", "/dev/null"], "kernel /dev/null: 0 bytes are no kernel"), (["--kernel", "README.md"], "no kernel: a bzImage has 'HdrS'")])
def test_the_command_refuses(arguments, why):
    if "--run" in arguments and "--kernel" not in arguments:
        kernel()
    refused(vmio("boot", *arguments), why)


def test_a_truncated_kernel(tmp_path):
    (tmp_path / "short").write_bytes(kernel().read("vmlinuz")[:10_000_000])
    refused(vmio("boot", "--kernel", tmp_path / "short"), "truncated: 10,000,000 bytes, its header speaks of 14,184,960")


@pytest.mark.slow
def test_the_command_boots_it():
    """Without a kernel's name: the kept one, with the modules that the disks need, and the commands."""
    kernel()
    done = vmio("boot", "--disk", path("licenses-ext4.img.gz"), "--mode", "split", "nvme", "--quiet", "--run", "cat /etc/modules",
                "--run", "await /dev/sda; cmp /dev/sda /dev/nvme0n1 && echo the same")
    assert done.returncode == 0, done.stderr
    said = done.stderr.replace("\r", "")
    assert "\nscsi_common\nscsi_mod\nhv_vmbus\nscsi_transport_fc\nhv_storvsc\nsd_mod\n" in said and "\nthe same\n" in said
    assert said.endswith("power off: the guest has switched itself off\n") and "VMCALL" in done.stdout


@pytest.mark.slow
def test_without_a_command_there_is_a_shell():
    """What is typed is run; leaving the shell switches the machine off."""
    params = BootParams(modes=("nvme",), quiet=True)
    image, initrd = kept.kernel(params)
    result = boot(params, image, initrd, Image.open(path("licenses-ext4.img.gz")), answers=[("# ", "echo $((6 * 7)) seen\n"), ("42 seen", "exit\n")])
    assert result.good and result.end.reason == "power off" and "\n42 seen\n" in result.console_text, result.sentence()


@posix
@pytest.mark.slow
def test_a_person_at_a_terminal_has_a_shell():
    """Keys go to the guest as they are, Ctrl-C too; the terminal is afterwards what it was before."""
    import pty
    import termios
    kernel()
    leader, follower = pty.openpty()
    before = termios.tcgetattr(leader)
    process = subprocess.Popen([sys.executable, "-m", "vmio", "boot", "--disk", path("licenses-ext4.img.gz"), "--mode", "split", "--quiet",
                                "--timeout", "3600"], stdin=follower, stdout=follower, stderr=follower, env=with_source(), cwd=ROOT)
    text = b""

    def until(wanted):
        nonlocal text
        while wanted not in text:
            text += os.read(leader, 4096)       # OSError once the command has ended
        text = text[text.index(wanted) + len(wanted):]
    until(b"(Ctrl-] ends it)")
    until(b"# ")
    assert termios.tcgetattr(leader)[3] & termios.ICANON == 0
    for typed, shown in ((b"echo $((6 * 7)) seen\r", b"\n42 seen"), (b"echo is run''ning; sleep 100000\r", b"is running\r\n"), (b"\x03", b"^C"),
                         (b"cut -c1-6 /sys/block/sda/device/vendor\r", b"\nMsft"), (b"exit\r", b"power off: the guest has switched itself off"),
                         (b"", b"VMCALL"), (b"", b"ready 6.1.0")):
        os.write(leader, typed)
        until(shown)
    assert process.wait() == 0 and termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)
