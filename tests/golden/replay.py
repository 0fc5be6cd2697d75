"""Replays a recorded trace (format: data/golden/README.md) into a door and lists what differs."""

import struct

LETTER = {1: "b", 2: "w", 4: "l", 8: "q"}
POLLS = 1000


def disk_image(folder, kind):
    """The disk of the recordings: 1 MiB for the scripted ones, 16 MiB for Linux's."""
    mask, golden = (1 << 64) - 1, 0x9E3779B97F4A7C15
    path = folder / f"{kind}.img"
    if kind == "scripted":
        path.write_bytes(b"".join(
            struct.pack("<64Q", *[(lba * golden + i * 0x0101010101010101) & mask for i in range(64)])
            for lba in range(2048)))
    else:
        path.write_bytes(b"".join(struct.pack("<2Q", lba, lba * golden & mask) * 32 for lba in range(32768)))
    return path


def replay(door, ops, edges=True, own=None):
    """(mismatches, operations compared).  `own`: PCI device/function numbers whose answers count, None for all."""
    mismatches, compared, selected, late = [], 0, None, []
    index = 0
    while index < len(ops):
        op = ops[index]
        expected_edges = []
        at = index
        while index + 1 < len(ops) and ops[index + 1][0] == "irq":
            index += 1
            expected_edges.append(f"IRQ {'raise' if ops[index][3] else 'lower'} {ops[index][1]}")
        index += 1
        if op[0] in ("irq", "mark"):
            continue
        if op[0] == "out" and op[1] == 0xCF8:
            selected = op[3] >> 8 & 0xFF
        foreign = own is not None and selected not in own and op[1] in range(0xCFC, 0xD00)
        got, got_edges, wanted = perform(door, op)
        if op[0] == "wire_rx":      # no command of QEMU's protocol: the recorder saw what it did with the next one
            late = got_edges
            continue
        got_edges, late = late + got_edges, []
        if wanted is not None and not foreign:
            compared += 1
            if got != wanted:
                bsy = " BSY" if isinstance(wanted, int) and isinstance(got, int) and wanted & 0x80 and not got & 0x80 else ""
                mismatches.append(f"op {at} {str(op)[:80]}: got {str(got)[:80]}{bsy}")
        if edges and got_edges != expected_edges:
            mismatches.append(f"op {at} {str(op)[:80]}: edges {got_edges}, expected {expected_edges}")
    return mismatches, compared


def perform(door, op):
    """Do one operation: (what was read, interrupt edges, what was recorded); None where nothing is read."""
    edges = []

    def ask(line):
        *events, verdict = door.answer(line)
        edges.extend(events)
        assert verdict.startswith("OK"), f"{line}: {verdict}"
        return verdict[3:]

    kind = op[0]
    if kind in ("in", "in*"):
        got = int(ask(f"in{LETTER[op[2]]} {op[1]}"), 0)
        tries = 1
        while kind == "in*" and got != op[3] and tries < POLLS:
            got, tries = int(ask(f"in{LETTER[op[2]]} {op[1]}"), 0), tries + 1
        return got, edges, op[3]
    if kind == "out":
        ask(f"out{LETTER[op[2]]} {op[1]} {op[3]}")
        return None, edges, None
    if kind == "poll":
        _, port, size, value, mask = op
        for _ in range(POLLS):
            got = int(ask(f"in{LETTER[size]} {port}"), 0)
            if got & mask == value & mask:
                break
        return got, edges, value
    if kind == "pollm":
        _, at, size, value, mask = op
        for _ in range(POLLS):
            got = int(ask(f"read{LETTER[size]} {at}"), 0)
            if got & mask == value & mask:
                break
        return got, edges, value
    if kind in ("ins", "outs"):
        _, port, size, text = op
        raw = bytes.fromhex(text)
        if kind == "outs":
            for at in range(0, len(raw), size):
                ask(f"out{LETTER[size]} {port} {int.from_bytes(raw[at:at + size], 'little')}")
            return None, edges, None
        got = b"".join(int(ask(f"in{LETTER[size]} {port}"), 0).to_bytes(size, "little")
                       for _ in range(0, len(raw), size))
        return got.hex(), edges, text
    if kind == "store":
        ask(f"write{LETTER[op[2]]} {op[1]} {op[3]}")
        return None, edges, None
    if kind == "load":
        return int(ask(f"read{LETTER[op[2]]} {op[1]}"), 0), edges, op[3]
    if kind == "memwrite":
        ask(f"write {op[1]} {op[2]} 0x{op[3]}")
        return None, edges, None
    if kind == "memset":
        ask(f"memset {op[1]} {op[2]} {op[3]}")
        return None, edges, None
    if kind == "memread":
        return ask(f"read {op[1]} {op[2]}")[2:], edges, op[3]
    if kind == "clock_step":
        ask(f"clock_step {op[3]}")
        return None, edges, None
    if kind == "wire_rx":
        ask(f"wire_rx 0x{op[3]}")
        return None, edges, None
    if kind == "wire_tx":
        return ask("wire_tx")[2:], edges, op[3]
    raise AssertionError(f"unknown operation {op}")
