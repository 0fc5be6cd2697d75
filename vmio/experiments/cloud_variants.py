"""The ways in which a cloud may treat the same eight guests on the same disk: a policy of the host, a function for one, both.

The limits are those of a volume that is really sold: rows V01.4 and V01.5 of data/published.csv.
"""

from dataclasses import replace
from typing import Any

from vmio.experiments.cloud_params import BULLY, MIB, VICTIM, CloudParams
from vmio.hypervisor.costs import published

RESERVED = 32 * MIB       # bytes/s: more than the victim asks for, so that its turn never comes late
TURNS = (4, 1)            # weights of the host's function and of the virtual one, where functions take turns

VARIANTS: dict[str, dict[str, Any]] = {
    "no policy": dict(policy="fifo"),
    "weights": dict(policy="fair"),
    "token buckets": dict(policy="limits"),
    "reservation": dict(policy="mclock"),
    "victim's function": dict(policy="fifo", moved=VICTIM),
    "victim's, by turns": dict(policy="fifo", moved=VICTIM, arbitrated=True, function_weights=TURNS),
    "bully's function": dict(policy="mclock", moved=BULLY),
    "bully's, by turns": dict(policy="mclock", moved=BULLY, arbitrated=True, function_weights=TURNS),
}
WORK_CONSERVING = ("no policy", "weights", "reservation")     # the disk is never idle while somebody wants it


def variant(name: str, base: CloudParams = CloudParams()) -> CloudParams:
    """Return `base` as one of `VARIANTS`; ValueError names those there are."""
    if name not in VARIANTS:
        raise ValueError(f"variant {name!r}: choose one of {', '.join(VARIANTS)}")
    return promised(replace(base, **VARIANTS[name]))


def promised(params: CloudParams) -> CloudParams:
    """Return the same with what the policy needs to be told: limits for all guests, or a reservation for the victim."""
    if params.policy == "limits":
        iops, cap = volume_limits()
        return replace(params, guests=tuple(replace(guest, iops=iops, cap=cap) for guest in params.guests))
    return params.with_guest(VICTIM, reservation=RESERVED) if params.policy == "mclock" else params


def volume_limits() -> tuple[int, int]:
    """Return (requests a second, bytes a second) of the volume that is sold."""
    rows = published()
    return int(rows["V01.4"]["value"]), int(rows["V01.5"]["value"]) * MIB
