"""CC: a controller is enabled, disabled, shut down (NVMe 1.4, 3.1.5, 3.1.6, 7.6)."""

from vmio.hardware.nvme import wire as w
from vmio.hardware.nvme.admin import MAX_ENTRIES
from vmio.hardware.nvme.contracts import Controller
from vmio.hardware.nvme.queues import CompletionQueue, SubmissionQueue
from vmio.hardware.nvme.wire import Failed

CAP_VALUE = (MAX_ENTRIES | 1 << 16           # rings are contiguous
             | 0xF << 24                      # ready within 7.5 s
             | 0xC1 << 37                     # command sets: NVM, those of IDENTIFY, admin only
             | 4 << 52)                       # memory pages of 4 KiB to 64 KiB


def configure(controller: Controller, value: int) -> None:
    """CC (3.1.5): enable, disable, shut down."""
    old, status = controller.get(w.CC), controller.get(w.CSTS)
    controller.put(w.CC, value)
    if value & w.CC_SHN and not old & w.CC_SHN:
        status = status & ~w.CSTS_SHST | _shut_down(controller)
    elif not value & w.CC_SHN and old & w.CC_SHN:
        status &= ~w.CSTS_SHST
    if value & w.CC_EN and not old & w.CC_EN:
        status = w.CSTS_RDY if _enable(controller, value) else w.CSTS_CFS
    elif not value & w.CC_EN and old & w.CC_EN:
        controller.forget()
        for register in (w.CC, w.INTMS, w.INTMC):
            controller.put(register, 0)
        status = 0
        controller.update_intx()
    controller.put(w.CSTS, status)


def _enable(controller: Controller, cc: int) -> bool:
    """Make the admin queues; False if a register's value can't be."""
    page = 1 << 12 + (cc >> 7 & 0xF)
    aqa = controller.get(w.AQA)
    asq, acq = w.REGISTERS.only("asq", "acq").unpack_from(controller.registers)
    sq_entries, cq_entries = aqa & 0xFFF, aqa >> 16 & 0xFFF
    if (controller.cqs or controller.sqs or asq & page - 1 or acq & page - 1 or not CAP_VALUE >> 37 >> (cc >> 4 & 7) & 1
            or page > 1 << 16 or (cc >> 16 & 0xF, cc >> 20 & 0xF) != (6, 4) or not sq_entries or not cq_entries):
        return False
    controller.set_page(page)
    controller.cqs[0] = CompletionQueue(0, acq, cq_entries + 1, 0, True)
    controller.sqs[0] = SubmissionQueue(0, asq, sq_entries + 1, controller.cqs[0])
    controller.features.start()
    return True


def _shut_down(controller: Controller) -> int:
    """CC.SHN: the cache goes to the medium; the bits of CSTS that say so, or that it failed (3.1.6)."""
    try:
        controller.change(controller.image.flush)
    except Failed:
        return w.CSTS_SHST_DONE | w.CSTS_CFS
    return w.CSTS_SHST_DONE
