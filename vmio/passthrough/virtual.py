"""The host's use of SR-IOV: switch virtual functions on, and have them as functions that can be assigned."""

from vmio.devices.pci import sriov as s
from vmio.passthrough.assignment import AssignmentRefused
from vmio.passthrough.function import HostFunction


class Several:
    """Who was last at a device when more than one guest was."""

    name = "several guests"


SEVERAL = Several()


def enable(function: HostFunction, count: int) -> list[HostFunction]:
    """Make `count` virtual functions of `function` (a `HostFunction` with the SR-IOV capability); a list.

    ValueError for a number that it can't; `AssignmentRefused` while it is a guest's
    or has virtual functions.
    """
    pci, sriov = function.pci, function.pci.find(s.Sriov)
    total = sriov.total if sriov is not None else 0
    if sriov is None or not 1 <= count <= total:
        raise ValueError(f"{function.name}: virtual functions {count}; 1 to {total}")
    if function.assigned_to is not None:
        raise AssignmentRefused(f"{function.name} is {function.assigned_to.guest.name}'s, with all that is in it")
    if function.children:
        raise AssignmentRefused(f"{function.name}: has {len(function.children)} virtual functions; disable them first")
    pci.write(sriov.at + s.NUMBER, 2, count)
    pci.write(sriov.at + s.CONTROL, 2, s.ENABLE | s.MEMORY_ENABLE)
    function.children = [HostFunction(f"{function.name}-vf{number}", sriov.requester(number, function.requester), vf,
                                      function.iommu) for number, vf in enumerate(sriov.functions)]
    for child in function.children:
        child.last_guest = function.last_guest      # its part of the device may hold the same data
    return list(function.children)


def disable(function: HostFunction) -> None:
    """Take them away again; `AssignmentRefused` while a guest has one."""
    for child in function.children:
        if child.assigned_to is not None:
            raise AssignmentRefused(f"{child.name} is assigned to {child.assigned_to.guest.name}; take it back first")
    for child in function.children:
        child.present = False
        if child.last_guest not in (None, function.last_guest):
            function.last_guest = child.last_guest if function.last_guest is None else SEVERAL
    function.children = []
    sriov = function.pci.find(s.Sriov)
    if sriov is not None:
        function.pci.write(sriov.at + s.CONTROL, 2, 0)
