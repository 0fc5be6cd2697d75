"""The host's use of SR-IOV: switch virtual functions on, and have them as functions that can be assigned."""

from types import SimpleNamespace

from vmio.hardware.nvme import sriov as s
from vmio.passthrough.assignment import AssignmentRefused
from vmio.passthrough.function import HostFunction

SEVERAL = SimpleNamespace(name="several guests")


def enable(function, count):
    """Make `count` virtual functions of `function` (a `HostFunction` whose `pci` is a `PhysicalFunction`); a list.

    ValueError for a number that it can't; `AssignmentRefused` while it is a guest's
    or has virtual functions.
    """
    pci = function.pci
    if not 1 <= count <= getattr(pci, "total", 0):
        raise ValueError(f"{function.name}: virtual functions {count}; 1 to {getattr(pci, 'total', 0)}")
    if function.assigned_to is not None:
        raise AssignmentRefused(f"{function.name} is {function.assigned_to.guest.name}'s, with all that is in it")
    if function.children:
        raise AssignmentRefused(f"{function.name}: has {len(function.children)} virtual functions; disable them first")
    pci.write(s.CAPABILITY + s.NUMBER, 2, count)
    pci.write(s.CAPABILITY + s.CONTROL, 2, s.ENABLE | s.MEMORY_ENABLE)
    function.children = [
        HostFunction(f"{function.name}-vf{vf.number}", function.requester + vf.requester_offset, vf, vf.controller,
                     function.iommu, arrived=getattr(vf.controller.service, "arrived", None)) for vf in pci.functions]
    for child in function.children:
        child.last_guest = function.last_guest      # its part of the medium may hold the same data
    return list(function.children)


def disable(function):
    """Take them away again; `AssignmentRefused` while a guest has one."""
    for child in function.children:
        if child.assigned_to is not None:
            raise AssignmentRefused(f"{child.name} is assigned to {child.assigned_to.guest.name}; take it back first")
    for child in function.children:
        child.present = False
        if child.last_guest not in (None, function.last_guest):
            function.last_guest = child.last_guest if function.last_guest is None else SEVERAL
    function.children = []
    function.pci.write(s.CAPABILITY + s.CONTROL, 2, 0)
