"""What a fleet is told."""

from dataclasses import dataclass

from vmio.experiments import params
from vmio.experiments.params import param
from vmio.manage.fleet.calibrate import MODES
from vmio.manage.fleet.guests import HOURS, REPLICAS
from vmio.manage.fleet.policies import POLICIES

MAX_HOSTS, EACH = 10_000, 18       # the most hosts; guests for each of them unless their number is said


@dataclass(frozen=True)
class FleetParams:
    """`hosts` in `racks`, `guests` on them by a `policy`, a day of load, and hosts that are emptied at an hour of it."""

    hosts: int = param(100, "hosts", low=1, high=MAX_HOSTS)
    guests: int | None = param(None, f"guests, in services of {REPLICAS} replicas; without it {EACH} for each host", low=1, high=25 * MAX_HOSTS, optional=True)
    racks: int = param(4, "fault domains, each with hosts side by side", low=1, high=100)
    policy: str = param("first-fit", "where the next guest goes", choices=tuple(POLICIES))
    mode: str = param("emulated", "how guests reach their disks", choices=tuple(MODES))
    load: int = param(100, "what guests ask for, in parts of what their sizes say", unit="%", low=10, high=125)
    churn: int = param(30, "services that go before the day begins, and for which others come: they leave gaps", unit="%", low=0, high=90)
    reserve: int = param(0, "hosts that are kept empty until some must be evacuated", low=0, high=MAX_HOSTS - 1)
    evacuate: int = param(0, "hosts that are emptied: the fullest ones", low=0, high=MAX_HOSTS - 1)
    hour: int = param(13, "when that begins", low=0, high=23)
    link: int = param(1250, "what a host's link for migrations carries", unit="MB/s", low=10, high=100_000, scale="log2")
    seed: int = param(1, "of guests and of the day's load", low=0)

    def check(self) -> "FleetParams":
        """Return these parameters; ValueError names the parameter, its value and what is allowed."""
        params.check(self)
        if self.racks > self.hosts:
            raise ValueError(f"racks {self.racks}: there are {self.hosts} hosts, and a rack has at least one")
        if self.reserve >= self.hosts:
            raise ValueError(f"reserve {self.reserve}: there are {self.hosts} hosts, and guests need at least one")
        if self.evacuate > self.hosts - self.reserve - 1 + bool(self.reserve):
            raise ValueError(f"evacuate {self.evacuate}: of {self.hosts} hosts, {self.reserve} of them in reserve, one at least must stay")
        if not self.evacuate:
            for name in ("hour", "link"):
                if (value := getattr(self, name)) != params.default(FleetParams, name):
                    raise ValueError(f"{name} {value:,}: no effect where no host is evacuated")
        return self

    @property
    def guests_in_all(self) -> int:
        """How many guests there are to be."""
        return self.guests if self.guests is not None else EACH * self.hosts

    @property
    def step(self) -> int:
        """The half hour in which the evacuation begins."""
        return round(self.hour / HOURS)
