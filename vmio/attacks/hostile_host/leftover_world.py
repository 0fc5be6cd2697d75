"""A confidential guest that has done its work, and a host that looks for what is left of it.

The guest writes a secret to its encrypted disk and reads it back, keeps it in a device of its own that is bound by TDISP, and lets its
host see a page in which the secret had been.  Then it stops the device.  What the host looks at is its `loot`; each attack says where
it looks, and when.
"""

from collections.abc import Callable
from typing import Any

from vmio.attacks.verdict import Outcome, judge
from vmio.drivers.contracts import DiskDriver
from vmio.drivers.crypt import CryptDisk
from vmio.drivers.storvsc import StorVsc
from vmio.experiments.secrets import carry
from vmio.hardware.tdisp import wire as w
from vmio.hardware.tdisp.wire import Message
from vmio.hypervisor.contracts import Steps
from vmio.hypervisor.vcpu import VCpu
from vmio.machine.media.encrypted import xts
from vmio.machine.memory import PAGE
from vmio.machine.storage import SECTOR, Image
from vmio.modes import Machine
from vmio.modes.disk_split import SplitDisk
from vmio.modes.edu_assigned import REQUESTER, AssignedEdu, EduDisk

SECRET = b"the guest's own."
LETTER = SECRET * (PAGE // len(SECRET))
POOL_KIB, KEY = 256, bytes(range(64))


class LeftoverWorld:
    """`guest`, its `disk` and `edu`; `image` is what lies on the host's disk.  `encrypts`: the guest encrypts what it writes there."""

    def __init__(self) -> None:
        self.image = Image(bytearray(64 * SECTOR))
        self.disk, self.edu = SplitDisk(ring_kib=16, channels=1, confidential=True, pool_kib=POOL_KIB, roomy=False), AssignedEdu(True, True, POOL_KIB)
        self.room = max(self.disk.driver_memory, self.edu.driver_memory)
        self.machine = Machine()
        self.planned = self.machine.guest("victim", self.disk, self.image, ram_mib=(self.room >> 20) + 1).attach(self.edu)
        self.guest, self.host = self.planned.make().guest, self.machine.host
        self.machine.power_on()
        self.encrypts, self.finished = True, False
        self.loot = bytearray()                             # what the host has looked at
        self.later: Callable[[], object] = lambda: None     # where it looks when the guest has done its work

    def program(self, cpu: VCpu, disk: StorVsc, edu: EduDisk) -> Steps[None]:
        """What the guest does, in four pages: the secret, its copy, ciphertext on its way, a page that is to be shared."""
        secret, copy, buffer, spare = range(self.room, self.room + 4 * PAGE, PAGE)
        kept: DiskDriver = CryptDisk(cpu, disk, xts(KEY), [buffer], PAGE, cpu.costs.xts_rate) if self.encrypts else disk
        cpu.write(secret, LETTER)
        yield from carry(kept, "write", 8, PAGE // SECTOR, secret)
        yield from carry(kept, "read", 8, PAGE // SECTOR, copy)
        yield from edu.store(secret, PAGE)
        cpu.write(spare, LETTER)
        disk.client.trust.sharing.share([spare // PAGE])    # type: ignore[attr-defined]  # a confidential guest's
        self.edu.interface.answer(w.HEADER.pack(type=Message.STOP_INTERFACE, function_id=REQUESTER))
        self.finished = cpu.read(copy, PAGE) == LETTER

    def run(self, act: Callable[[Any], object]) -> Outcome:
        """Let the host prepare itself, the guest work, and the host look; what came of it."""
        act(self)
        self.machine.run((self.planned, self.program))
        self.later()
        stopped = None if self.finished else "the guest has not read what it wrote"
        seen = {} if self.guest.isolation is None or not self.guest.isolation.private_reads else {"pages read as ciphertext": self.guest.isolation.private_reads}
        return judge(stopped, {}, None, [], ["guest's secret"] if SECRET in self.loot else [], seen)
