"""When one side must be told: the event rule.

With EVENT_IDX each side says at which place of the other's ring it wants to be told.
Source: VIRTIO 1.2, 2.7.7.1 and 2.7.10; the formula is that of the specification's
`vring_need_event` (Linux include/uapi/linux/virtio_ring.h).
"""

from vmio.virtio.queue.wire import WRAP


def need_event(event: int, new: int, old: int) -> bool:
    """Return whether going from index `old` to `new` passes the one that the other side waits for.  All are 16 bits, and wrap."""
    return (new - event - 1) & 0xFFFF < (new - old) & 0xFFFF


def packed_event(place: int, wrap: int, size: int) -> int:
    """Return where a packed event area's `place` is, counted in the turn of the ring in which the wrap counter is `wrap`.

    An event of the turn before lies `size` entries back.
    """
    event = place & ~WRAP
    return event if bool(place & WRAP) == bool(wrap) else event - size
