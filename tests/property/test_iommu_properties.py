"""Random mappings and transfers: a device reaches its domain's pages, and nothing else."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from vmio.hardware.edu import Edu
from vmio.machine.clock import Clock
from vmio.machine.memory import PAGE, HostMemory
from vmio.machine.pagetable import READ, WRITE, TranslationFault
from vmio.modes import Machine
from vmio.passthrough.iommu.faults import FaultLog, Reason
from vmio.passthrough.iommu.iommu import Iommu
from vmio.passthrough.strategies import strategy

quick = settings(max_examples=60, deadline=None, derandomize=True)
PAGES = 12                       # of each domain's own memory, and of the addresses that are tried
REQUESTERS = (0x18, 0x19, 0x118)
EDGE = 0x200000 - 6 * PAGE       # addresses around a border of page tables


def steps(seed):
    """Eighty things that drivers and devices do; some pages are used again and again."""
    dice = random.Random(seed)
    for _ in range(80):
        who, page = dice.randrange(3), dice.choice([0, 1, 2, dice.randrange(PAGES)])
        kind = dice.choice(["map", "unmap", "invalidate", "dma", "dma", "dma", "dma"])
        if kind == "map":
            yield kind, who, page, dice.randint(1, 3), dice.randrange(PAGES), dice.randint(1, 3)
        elif kind == "unmap":
            yield kind, who, page, dice.randint(1, 4)
        elif kind == "invalidate":
            yield kind, dice.choice(["page", "page", "domain", "global"]), who, page
        else:
            yield kind, dice.random() < 0.5, who, page * PAGE + dice.choice([0, 8, 4000]), dice.choice([8, 100, 9000])


class Model:
    """What each domain's table says, and what the IOTLB may still hold beside it."""

    def __init__(self, entries):
        self.memory = HostMemory(1 << 19)
        self.iommu = Iommu(self.memory, iotlb_entries=entries)
        self.domains, self.spas, self.now, self.old = [], [], [], []
        for requester in REQUESTERS:
            domain = self.iommu.domain()
            self.iommu.attach(requester, domain)
            self.domains.append(domain)
            self.spas.append(self.memory.allocate(PAGES))
            self.now.append({})                        # page -> (SPA, permissions)
            self.old.append({})                        # page -> [the same, as it once was]
        for who in range(3):
            for page in range(0, PAGES, 2):
                self.map(who, page, 1, (page + who) % PAGES, 1 + (page // 2 + who) % 3)
        self.iommu.enable()

    def map(self, who, page, count, target, permissions):
        count = min(count, PAGES - target)
        spa = self.spas[who] + target * PAGE
        pages = range(page, page + count)
        try:
            self.domains[who].map(EDGE + page * PAGE, spa, count * PAGE, permissions)
            assert not any(p in self.now[who] for p in pages)
            self.now[who].update({p: (spa + n * PAGE, permissions) for n, p in enumerate(pages)})
        except ValueError:
            assert any(p in self.now[who] for p in pages)

    def unmap(self, who, page, count):
        self.domains[who].unmap(EDGE + page * PAGE, count * PAGE)
        for p in range(page, page + count):
            if p in self.now[who]:
                self.old[who].setdefault(p, []).append(self.now[who].pop(p))

    def invalidate(self, how, who, page):
        if how == "global":
            self.iommu.invalidate()
            self.old = [{} for _ in self.old]
        elif how == "domain":
            self.iommu.invalidate(self.domains[who])
            self.old[who] = {}
        else:
            self.iommu.invalidate(self.domains[who], EDGE + page * PAGE, PAGE)
            self.old[who].pop(page, None)

    def dma(self, write, who, at, length):
        before = bytes(self.memory.bytes)
        space, moved = self.iommu.space(REQUESTERS[who]), []
        access = WRITE if write else READ
        fault = None
        try:
            if write:
                space.write(EDGE + at, bytes([0xEE]) * length)
            else:
                got = space.read(EDGE + at, length)
        except TranslationFault as error:
            fault = error.address - EDGE
        end = at + length if fault is None else fault
        while at < end:                                 # every part that moved had a translation, present or stale
            step = min(PAGE - at % PAGE, end - at)
            page = at // PAGE
            known = [self.now[who][page]] if page in self.now[who] else []
            known += self.old[who].get(page, [])
            targets = [spa for spa, permissions in known if permissions & access]
            assert targets, f"page {page} is not the device's"
            moved.append((page, at % PAGE, step, targets))
            at += step
        if fault is not None:                           # and the one that did not had none, or a stale one in the way
            page = fault // PAGE
            assert not self.now[who].get(page, (0, 0))[1] & access or self.old[who].get(page)
        allowed = set()
        for page, offset, step, targets in moved:
            allowed.update(spa for spa in targets)
        if write:
            after = bytes(self.memory.bytes)
            for spa in range(0, len(after), PAGE):
                if after[spa:spa + PAGE] != before[spa:spa + PAGE]:
                    assert spa in allowed, f"a write landed at SPA {spa:#x}"
        elif fault is None:
            taken = 0
            for page, offset, step, targets in moved:
                part = got[taken:taken + step]
                assert any(part == before[spa + offset:spa + offset + step] for spa in targets)
                taken += step
            assert taken == length


@quick
@given(st.integers(0, 1 << 30), st.sampled_from([1, 2, 64]))
def test_no_dma_leaves_the_domain(seed, entries):
    model = Model(entries)
    for spa in model.spas:
        for page in range(PAGES):
            model.memory.write(spa + page * PAGE, spa.to_bytes(4, "little") + bytes([page]) * 8)
    for step in steps(seed):
        getattr(model, step[0])(*step[1:])
    model.invalidate("global", 0, 0)                    # after that, nothing stale can be used
    assert model.iommu.stale() == []
    for who in range(3):
        for page in range(PAGES):
            model.dma(False, who, page * PAGE, 1)
            assert model.iommu.stale() == []


@quick
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 9000), st.integers(0, 3000)), max_size=30),
       st.sampled_from(["strict", "lazy"]), st.integers(1, 5))
def test_a_strategy_leaves_nothing_mapped_and_at_most_a_batch_stale(buffers, name, batch):
    host = Machine(memory_mib=16).host
    guest, iommu = host.guest(ram_mib=1), Iommu(host.memory)
    domain = iommu.domain(allowed=[(guest.ram_spa(0), guest.ram)])
    mapper = strategy(name, iommu, domain, guest, **({"batch": batch, "timeout_ns": 1000} if name == "lazy" else {}))
    iommu.attach(REQUESTERS[0], domain)
    space, live = iommu.space(REQUESTERS[0]), []
    for early, page, length, wait in buffers:
        address = mapper.map(page * PAGE + 5, length)
        space.write(address, bytes(length))
        live.append((address, length))
        if early:
            mapper.unmap(*live.pop(0))
        guest.clock.advance_to(guest.clock.now + wait)
        if name == "strict":
            assert iommu.stale() == []
        else:
            assert mapper.waiting < batch
    for address, length in live:
        mapper.unmap(address, length)
    mapper.flush()
    assert domain.pages == 0 and iommu.stale() == []
    assert mapper.maps == mapper.unmaps == len(buffers)


@quick
@given(st.lists(st.tuples(st.sampled_from([1, 2, 4, 8]), st.one_of(
    st.sampled_from([0x04, 0x08, 0x20, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98]), st.integers(0, (1 << 20) - 8)),
    st.one_of(st.none(), st.integers(0, (1 << 64) - 1), st.integers(0x40000 - 10, 0x40000 + 5000), st.integers(0, 8192))),
    max_size=60))
def test_a_device_told_anything_stays_in_its_domain(accesses):
    memory = HostMemory(1 << 20)
    iommu = Iommu(memory)
    domain, spa = iommu.domain(), memory.allocate(2)
    domain.map(0, spa, 2 * PAGE)
    iommu.attach(0x18, domain)
    iommu.enable()
    clock = Clock()
    device = Edu(clock, iommu.space(0x18))
    before = bytes(memory.bytes)
    for size, offset, value in accesses:
        if value is None:
            assert 0 <= device.read(offset, size) < 1 << 8 * size
            clock.advance_to(clock.now + 100_000_000)
        else:
            device.write(offset, size, value & (1 << 8 * size) - 1)
    state = device.save()
    clock.advance_to(clock.now + 200_000_000)
    device.restore(state)
    after = bytes(memory.bytes)
    assert after[:spa] == before[:spa] and after[spa + 2 * PAGE:] == before[spa + 2 * PAGE:]


@quick
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(list(Reason)), st.integers(0, 7)), max_size=50), st.integers(1, 5))
def test_faults_are_recorded_or_counted_as_dropped(faults, size):
    log, recorded = FaultLog(size), 0
    for requester, reason, cleared in faults:
        before = len(log.taken())
        log.report(requester, 0x1000, reason, True)
        recorded += len(log.taken()) - before
        if cleared < size:
            log.clear(cleared)
    assert recorded + log.dropped == len(faults) == sum(log.counts.values())
