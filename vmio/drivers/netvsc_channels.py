"""NetVSC's further channels: one for each vCPU but the first; the host's hash of a flow says by which a frame comes.

Linux asks for as many as it has processors online, less one, or as the card allows, opens what is offered, and then sets the table
and the key: drivers/net/hyperv/rndis_filter.c, rndis_set_subchannel() and rndis_filter_set_rss_param().
"""

from vmio.drivers import netvsc_start
from vmio.drivers.channels import further_cpus
from vmio.drivers.netvsc_card import SplitCard
from vmio.drivers.netvsc_queue import NetQueue
from vmio.hypervisor.contracts import Steps
from vmio.vmbus.net import nvsp as n
from vmio.vmbus.net import rndis as r

MOST = 8              # channels that Linux asks for at most (VRSS_CHANNEL_DEFAULT)
# The key that Microsoft's RSS documentation has, and Linux's driver: netvsc_hash_key.
KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
KINDS = r.TOEPLITZ | r.HASH_IPV4 | r.HASH_TCP_IPV4 | r.HASH_IPV6 | r.HASH_TCP_IPV6


def open_all(card: SplitCard) -> Steps[list[NetQueue]]:
    """Ask for sub-channels and open what is offered: a queue each.  Fewer, or none, are no error."""
    further = further_cpus(card.client, card.cpu, min(card.max_channels, MOST) - 1)
    if card.version < n.V5 or not further:
        return []
    answer = yield from card.ask(n.SUBCHANNEL.pack(operation=n.ALLOCATE, channels=len(further)), n.SUBCHANNEL_COMPLETE)
    if answer.status != n.SUCCESS or not 0 < answer.channels <= len(further):
        return []
    queues = []
    for cpu, channel in zip(further, (yield from card.client.offered(card.channel, answer.channels))):
        queue = NetQueue(card, channel, cpu)
        yield from queue.open()
        queues.append(queue)
    yield from scale(card, [entry % (1 + len(queues)) for entry in range(r.TABLE_ENTRIES)])
    return queues


def scale(card: SplitCard, table: list[int], kinds: int = KINDS) -> Steps[None]:
    """Say which entry of the table is which channel: a flow's hash chooses the entry."""
    head = r.RSS_PARAMETERS.size
    size = 4 * len(table)
    asked = r.RSS_PARAMETERS.pack(size=head, hash=kinds, table_bytes=size, table_offset=head, key_bytes=len(KEY), key_offset=head + size)
    yield from netvsc_start.put(card, r.Oid.RSS_PARAMETERS, asked + b"".join(entry.to_bytes(4, "little") for entry in table) + KEY)
