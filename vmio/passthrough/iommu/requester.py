"""Who asks: the requester id that a PCI function puts in each of its transactions.

Bus number in bits 15:8, device 7:3, function 2:0.  Source: PCI Express Base
Specification 2.2.6.2 "Transaction Descriptor, Transaction ID Field"; VT-d calls
it source-id (3.4.1 "Source Identifier").
"""


def requester_id(bus: int, device: int, function: int = 0) -> int:
    """Return the 16-bit id of a function; ValueError for a number that no PCI function has."""
    for name, value, most in (("bus", bus, 255), ("device", device, 31), ("function", function, 7)):
        if not 0 <= value <= most:
            raise ValueError(f"requester id: {name} {value}; 0 to {most}")
    return bus << 8 | device << 3 | function


def text(requester: int) -> str:
    """Return it as lspci writes it: `00:03.0`."""
    return f"{requester >> 8:02x}:{requester >> 3 & 31:02x}.{requester & 7}"
