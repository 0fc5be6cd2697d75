"""The kernel's own dirty log over a small guest: which of its pages has it written?

While a slot is logged, KVM keeps its pages write-protected (or lets the processor note them, Intel's page-modification log): the first
store to a page sets its bit, further ones cost nothing.  To ask clears the bits.  What the host writes by itself sets none: user space
that writes into a guest's memory, as QEMU's devices do, keeps a bitmap of its own.
Source: Linux, Documentation/virt/kvm/api.rst, KVM_GET_DIRTY_LOG.
"""

from collections.abc import Sequence

from vmio.machine.memory import PAGE
from vmio.processors.kvm.code import Code
from vmio.processors.kvm.guest import Guest

AT, PAGES = 16 << 20, 1024        # guest-physical: where the logged memory is, and how many pages it has


def told(pages: Sequence[int]) -> list[list[int]]:
    """Return which pages the log names: when the guest has only read, when it has written these `pages`, three times each, asked at
    once again, and when the host has written its first page.

    ValueError for a page that there is not; OSError where KVM can't be used.
    """
    wrong = [page for page in pages if not 0 <= page < PAGES]
    if wrong:
        raise ValueError(f"page {wrong[0]}: 0 to {PAGES - 1}")
    with Guest() as guest:
        slot = guest.vm.add_slot(AT, PAGES * PAGE, logged=True)
        answers = []
        reads, writes = Code(), Code()
        for page in pages:
            reads.load(AT + page * PAGE)
            for n in range(3):
                writes.store(AT + page * PAGE + 8 * n, page)
        for code in (reads, writes):
            guest.run(code)
            answers.append(guest.vm.dirty_pages(slot))
        answers.append(guest.vm.dirty_pages(slot))
        slot.write(AT, b"host")
        answers.append(guest.vm.dirty_pages(slot))
        return answers
