"""Which module needs which, out of the modules' own files."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.linux_files import kernel
from tests.packages import module
from vmio.linux.modinfo import in_order, needs


def test_needs():
    assert needs(module(b"license=GPL\0depends=scsi_mod,hv_vmbus\0name=x\0")) == ["scsi_mod", "hv_vmbus"]
    assert needs(module(b"depends=\0")) == []


@pytest.mark.parametrize("data, why", [
    (b"", "X: it is no module's file, or truncated"), (bytes(64), "X: it is no module's file"),
    (module(b"depends=\0", magic=b"\x7fELF\x01\x01"), "X: it is no module's file"),
    (module(b"depends=\0")[:-1], "X: it is no module's file, or truncated"),
    (module(b"depends=\0", name=b".modinfx"), "X: there is no section .modinfo in it"),
    (module(b"license=GPL\0"), "X: it doesn't say what it depends on; is it a kernel's module?")])
def test_what_is_no_module(data, why):
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        needs(data, "X")


@given(st.lists(st.tuples(st.integers(0, 280), st.integers(0, 255)), max_size=8))
def test_whatever_it_is_it_is_read_or_refused(changes):
    data = bytearray(module(b"depends=a,b\0"))
    for at, value in changes:
        data[at % len(data)] = value
    try:
        assert isinstance(needs(bytes(data)), list)
    except ValueError as error:
        assert str(error).startswith("module: ")


def test_each_behind_what_it_needs():
    files = {name: module(b"depends=" + what + b"\0") for name, what in {
        "disk": b"middle,bus", "middle": b"low", "bus": b"", "low": b"", "a": b"b", "b": b"a"}.items()}
    assert in_order(["disk", "low"], files.__getitem__) == ["low", "middle", "bus", "disk"]
    with pytest.raises(ValueError, match="^modules a -> b -> a: they need each other$"):
        in_order(["a"], files.__getitem__)


def test_the_kernels_own_modules():
    assert in_order(["ata_piix", "hv_storvsc", "sd_mod"], kernel().module) == [
        "scsi_common", "scsi_mod", "libata", "ata_piix", "hv_vmbus", "scsi_transport_fc", "hv_storvsc", "sd_mod"]
