"""What the panel of *Keep secrets* must show: the letter's lines by their number, the disk by the cipher itself, times of a run with another key."""

import numpy

from vmio.experiments import secrets
from vmio.experiments.secrets import DEVICE, DISK, RAM, RINGS, SecretsParams
from vmio.machine.media.encrypted import xts

from vmio.experiments import views
from vmio.experiments.views.result import ViewsParams

from tests.panel_rig import Truth, numbers

EXITS = {"emulated": 20, "split": 2, "passthrough": 1}     # of a request of 4 KiB


def panel(mode, encrypt, bytes, keep):
    lines, requests, length = bytes // 64, bytes // 4096, bytes
    encrypted = encrypt == "guest" or (encrypt == "host" and mode != "passthrough")
    seen = 0 if encrypt == "guest" else 2 * lines
    hits = {DISK: 0 if encrypted else lines, DEVICE: seen, **({RINGS: 0} if mode == "split" else {}), RAM: 2 * lines if keep else 0}
    disk = b"".join(b"%06d the host must never see this.%s\n" % (n, b" " * 27) for n in range(lines))
    if encrypted:
        cipher = xts(secrets.key(1))
        disk = b"".join(cipher.encrypt(secrets.FIRST + n, disk[n * 512:(n + 1) * 512]) for n in range(length // 512))
    counts = numpy.bincount(numpy.frombuffer(disk, numpy.uint8), minlength=256)
    share = counts[counts > 0] / len(disk)
    crypt = 2 * requests * (4096 * 10**9 // 16_171_000_000) if encrypt == "guest" else 0
    ns = secrets.run(SecretsParams(mode, bytes=length, seed=2)).ns + crypt
    return Truth([lines, *hits.values(), 2 * requests * EXITS[mode], ns / 1000, crypt / 1000, -(share * numpy.log2(share)).sum()],
                 charts=[hits, {"bytes": list(enumerate(counts.tolist()))}])


SHORT = ("the ", "guest's ", "buffers")       # parts of a place's name that a chart has no room for


def entropy(data):
    """Of all blocks of 16 bytes that are not zeros."""
    blocks = numpy.frombuffer(data[:len(data) // 16 * 16], numpy.uint8).reshape(-1, 16)
    rest = data[len(data) // 16 * 16:]
    counts = numpy.bincount(blocks[blocks.any(axis=1)].ravel(), minlength=256) + numpy.bincount(
        numpy.frombuffer(rest if any(rest) else b"", numpy.uint8), minlength=256)
    share = counts[counts > 0] / counts.sum()
    return -(share * numpy.log2(share)).sum() + 0.0


def viewers(route, isolated, protected, place):
    run = views.run(ViewsParams(route, isolated, protected))
    held = {name: view.held for name, view in run.views.items() if view is not None}
    lines = {name: sum(b"the host must never see this." in data[at:at + 29] for at in range(len(data) - 28)) if len(data) < 10_000 else
             len(data.split(b"the host must never see this.")) - 1 for name, data in held.items()}
    words = [64]
    for name, data in held.items():
        words += [lines[name], entropy(data)]
    sealed = protected and route != "device"
    bounced = {"disk": 23756, "net": 312, "socket": 0, "device": 0 if protected else 12288}[route] if isolated else 0
    record = 22 + 1024 + (2 if route == "net" else 0)        # in a frame its type, too, is in the record
    crypt = 0 if not sealed else 2 * (4096 * 10**9 // 16_171_000_000) if route == "disk" else 4 * (record * 10**9 // 25_000_000_000)
    words += [{"disk": 4, "net": 1, "socket": 2, "device": 2}[route], bounced, crypt / 1000]
    if place in held:
        data = held[place]
        rows = numpy.frombuffer(data[:len(data) // 8 * 8], numpy.uint8).reshape(-1, 8) > 0
        begin = rows.any(axis=1).argmax()
        first = 8 * int(begin + rows[begin:begin + 512].sum(axis=1).argmax())
        for at in range(first, min(first + 32, len(data)), 8):
            row = data[at:at + 8]
            words += [value for value, _ in numbers(f"{at % 65536:04x}  {row.hex(' ')} {''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)}")]

    def short(name):
        for part in SHORT:
            name = name.replace(part, "")
        return name.strip()
    return Truth(words, charts=[{short(name): count for name, count in lines.items()}, {short(name): round(entropy(data), 2) for name, data in held.items()}])


def changes(encrypted, tags, records, bound):
    """Without tags one old sector is as good as another, and a cipher alone turns the rest into noise; with tags only old sectors with old tags pass."""
    disk = (6, 0, 1) if tags else (0, 5, 2) if encrypted else (0, 0, 7)
    rows = {"disk": disk, "wire": (4, 0, 1) if records else (0, 0, 5), "device": (1, 0, 0) if bound else (0, 0, 1)}
    return Truth([], charts=[{(where, what): number for where, numbers in rows.items()
                              for what, number in zip(("noticed", "garbled", "unnoticed"), numbers)}])
