"""A link that goes down after any number of bytes, a stream that is changed anywhere: the guest ends as one that nobody disturbs."""

from random import Random

import pytest
from tests.migration_rig import MB, disk, moved, undisturbed, writer

from vmio.manage.migration.link import Link
from vmio.manage.migration.rules import rule

KINDS = {"writer": writer(writes=300), "DMA": disk("emulated", requests=30, transfer="dma"), "split": disk("split", requests=30)}


@pytest.mark.parametrize("seed", range(24))
def test_whatever_happens_on_the_link_the_guest_is_somewhere(seed):
    random = Random(seed)
    make = KINDS[random.choice(list(KINDS))]
    after_ns, limit = random.randrange(4_000_000), random.choice([1, 2, 5])
    records = []
    whole, _ = moved(make, Link(32 * MB, carry=lambda data: records.append(data) or data), rule("qemu", limit), after_ns)
    if random.random() < 0.5:
        cut = random.randrange(whole.bytes)
        report, end = moved(make, Link(32 * MB, cut_at=cut), rule("qemu", limit), after_ns)
        assert report.status == "failed", cut
    else:
        number, what = random.randrange(len(records)), random.randrange(3)

        def change(data, left=[number]):  # noqa: B006  one for each call of `change` is wanted
            left[0] -= 1
            at = random.randrange(len(data))
            return data if left[0] != -1 else (data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1:], data[:at], data + data)[what]
        report, end = moved(make, Link(32 * MB, carry=change), rule("qemu", limit), after_ns)
        assert report.status == "refused" and report.reason.startswith("migration: "), report.reason
    assert end == undisturbed(make)
