"""What the panel of *Keep secrets* must show: the letter's lines by their number, the disk by the cipher itself, times of a run with another key."""

import numpy

from vmio.experiments import secrets
from vmio.experiments.secrets import DEVICE, DISK, RAM, RINGS, SecretsParams
from vmio.machine.media.encrypted import xts

from tests.panel_rig import Truth

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
