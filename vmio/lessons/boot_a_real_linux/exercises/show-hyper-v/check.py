from vmio.lab import Wrong, attempted, expect

HYPERCALL_BIT, VP_INDEX_BIT = 1 << 5, 1 << 6       # of EAX of 40000003h (TLFS)
FIRST, LEAST, MOST = 0x4000_0000, 0x4000_0005, 0x4000_FFFF
WHAT = "four numbers of 32 bits: EAX, EBX, ECX, EDX"


def answer(leaf, number):
    """The four registers; other things are `Wrong`."""
    given = f"leaf {number:X}h"
    found = attempted(leaf(number), given, (tuple, list), WHAT)
    if len(found) != 4 or not all(isinstance(one, int) and 0 <= one < 1 << 32 for one in found):
        raise Wrong(given, WHAT, repr(found))
    return tuple(found)


def text(*registers):
    return b"".join(one.to_bytes(4, "little") for one in registers).decode("latin-1")


def check(leaf):
    highest, *name = answer(leaf, FIRST)
    expect(text(*name), "Microsoft Hv", given="the characters of leaf 40000000h, as Linux reads them")
    if not LEAST <= highest <= MOST:
        raise Wrong("EAX of leaf 40000000h", f"{LEAST:X}h to {MOST:X}h", f"{highest:X}h")
    expect(text(answer(leaf, FIRST + 1)[0]), "Hv#1", given="the characters of leaf 40000001h")
    features = answer(leaf, FIRST + 3)[0]
    for bit, what in ((HYPERCALL_BIT, "the hypercall page's MSRs"), (VP_INDEX_BIT, "the virtual processor's number")):
        if not features & bit:
            raise Wrong(f"leaf {FIRST + 3:X}h", f"bit {bit.bit_length() - 1} of EAX, {what}", f"EAX {features:X}h")
    for number in (FIRST + 2, FIRST + 4, FIRST + 5):
        expect(answer(leaf, number), (0, 0, 0, 0), given=f"leaf {number:X}h")
    return "Linux would say: Hypervisor detected: Microsoft Hyper-V."
