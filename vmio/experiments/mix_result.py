"""What came of a guest on a host: which drivers it tried, what each was told, and what the one that came up costs."""

from dataclasses import dataclass

PASSES, FALLS_BACK, REFUSED, BREAKS = "passes", "falls back", "refused", "breaks"
VERDICTS = (PASSES, FALLS_BACK, REFUSED, BREAKS)     # from the best to the worst


@dataclass(frozen=True)
class Try:
    """A `driver` that the guest has tried; `refused` is its reason in a sentence, "" if it came up."""

    driver: str
    refused: str = ""


@dataclass(frozen=True)
class Device:
    """What came of one device, "disk" or "network".

    `exits` and `interrupts` are those of one read of 4 KiB, or of one ping, on average; `at_device` are the exits that the device's
    own registers had of these.  `broke` says what went wrong once the driver was up, "" if nothing did.
    """

    what: str
    tries: tuple[Try, ...]
    setup_exits: int = 0
    exits: float = 0.0
    at_device: float = 0.0
    interrupts: float = 0.0
    broke: str = ""

    @property
    def driver(self) -> str:
        """The driver that came up, "" if none did."""
        last = self.tries[-1]
        return "" if last.refused else last.driver

    @property
    def verdict(self) -> str:
        """One of `VERDICTS`."""
        if self.broke:
            return BREAKS
        if not self.driver:
            return REFUSED
        return FALLS_BACK if len(self.tries) > 1 else PASSES

    @property
    def reason(self) -> str:
        """Why it is so, in a sentence: what broke, or what the first driver was told; "" if that came up."""
        return self.broke or self.tries[0].refused

    def worked(self) -> bool:
        """Whether it was used, so that it has counts."""
        return bool(self.driver) and not self.broke


@dataclass(frozen=True)
class Cell:
    """A guest on a host that tells a `lie` or none.

    `asked` has, for each protocol that was spoken of, what the guest asked for and whether the host agreed: {"VMBus": (("5.3",
    False), ...)}.  `neighbour`: beside a lie, whether another guest of the host's was served.
    """

    guest: str
    host: str
    lie: str
    disk: Device
    network: Device
    asked: dict[str, tuple[tuple[str, bool], ...]]
    neighbour: bool | None = None

    @property
    def devices(self) -> tuple[Device, Device]:
        """Both."""
        return self.disk, self.network

    @property
    def verdict(self) -> str:
        """The worse of its devices'."""
        return max((each.verdict for each in self.devices), key=VERDICTS.index)

    @property
    def reason(self) -> str:
        """The reason of the device with that verdict; "" for a guest that got what it wanted most."""
        return next(each.reason for each in self.devices if each.verdict == self.verdict)

    def agreed(self, protocol: str) -> str:
        """Return the version that both have agreed on; "" for none."""
        return next((version for version, yes in self.asked.get(protocol, ()) if yes), "")

    def conversation(self) -> list[str]:
        """Return a line for each protocol that was spoken of: what was asked for, one after the other, and what the host said."""
        return [f"{protocol}: " + ", ".join(f"{version} {'yes' if yes else 'no'}" for version, yes in said) for protocol, said in self.asked.items()]
