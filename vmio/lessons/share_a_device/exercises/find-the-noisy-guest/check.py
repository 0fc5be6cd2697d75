from vmio import SharedGuest, SharingParams, run_sharing
from vmio.lab import expect, seeded


def check(culprit):
    random = seeded(2)
    for trial in range(4):
        names = random.sample(["red", "green", "blue", "grey", "pink", "cyan"], 4)
        guilty, busy = random.sample(names, 2)
        guests = tuple(
            SharedGuest(name, request_bytes=256 << 10, queue_depth=12) if name == guilty
            else SharedGuest(name, request_bytes=512, queue_depth=48) if name == busy
            else SharedGuest(name, request_bytes=4096, queue_depth=1) for name in names)
        result = run_sharing(SharingParams(guests, duration_ns=8_000_000, buckets=8), "fifo")
        requests, sizes = result.requests.sum(axis=1), result.bytes.sum(axis=1)
        services = {name: {"requests": int(requests[n]), "bytes": int(sizes[n]),
                           "waiting_ns": int(result.waiting[n] * requests[n]),
                           "device_ns": int(result.device[n] * requests[n])} for n, name in enumerate(names)}
        expect(culprit(services), guilty, given=f"services {services}")
    return "Four culprits found."
