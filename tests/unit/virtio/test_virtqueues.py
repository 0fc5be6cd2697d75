"""A driver's and a device's half on one memory: what is lent comes back, in every form of queue."""

import random
from itertools import product

import pytest
from tests.virtio_rig import BUFFERS, DEVICE, TABLE, Memory, pair
from tests.virtio_rig import device as device_half

from vmio.machine.probes import watch
from vmio.virtio.queue.driver import BadAnswer, QueueFull

FORMS = [pytest.param(kind, indirect, event_idx, id="-".join([kind, *["indirect"] * indirect, *["events"] * event_idx]))
         for kind, indirect, event_idx in product(("split", "packed"), (False, True), (False, True))]


@pytest.mark.parametrize("kind, indirect, event_idx", FORMS)
def test_a_chain_there_and_back(kind, indirect, event_idx):
    memory, driver, device = pair(kind, 8, indirect, event_idx)
    seen = []
    watch(device, "taken", lambda chain: seen.append((chain.readable, chain.writable)))
    watch(device, "answered", lambda chain, written: seen.append(written))
    memory.write(BUFFERS, b"question")
    device.rest()
    driver.sleep()
    driver.add([(BUFFERS, 5), (BUFFERS + 5, 3)], [(BUFFERS + 0x100, 2), (BUFFERS + 0x200, 4)], "token")
    assert driver.free == (7 if indirect else 4)
    assert driver.publish()
    chain = device.take()
    assert (chain.size, chain.space) == (8, 6)
    assert chain.fetch(0, 100) == b"question" and chain.fetch(4, 3) == b"tio" and chain.fetch(8, 1) == b""
    assert chain.store(1, b"nswer")
    assert memory.bytes[BUFFERS + 0x101:BUFFERS + 0x102] + memory.bytes[BUFFERS + 0x200:BUFFERS + 0x204] == b"nswer"
    assert driver.reap() is None
    device.put(chain, 6)
    assert device.must_interrupt()
    assert driver.reap() == ("token", 6) and driver.reap() is None
    assert driver.free == 8 and device.take() is None and not device.broken
    assert seen == [([(BUFFERS, 5), (BUFFERS + 5, 3)], [(BUFFERS + 0x100, 2), (BUFFERS + 0x200, 4)]), 6]


@pytest.mark.parametrize("kind, indirect, event_idx", FORMS)
@pytest.mark.parametrize("size", [8, 5])
def test_many_chains_in_any_order(kind, indirect, event_idx, size):
    """1,500 chains of 1 to 5 pieces, answered out of order, over all turns of the ring and of the 16-bit indices."""
    if kind == "split" and size == 5:
        size = 4
    random_ = random.Random(f"{kind}{indirect}{event_idx}{size}")
    memory, driver, device = pair(kind, size, indirect, event_idx)
    number, taken, lent, back = 0, [], {}, 0
    while back < 1_500 or lent:
        for _ in range(random_.randrange(4)):
            pieces = [(BUFFERS + 16 * random_.randrange(4096), 1 + random_.randrange(16)) for _ in range(1 + random_.randrange(min(5, size)))]
            cut = random_.randrange(len(pieces) + 1)
            try:
                if back < 1_500:
                    driver.add(pieces[:cut], pieces[cut:], number)
                    lent[number] = pieces[:cut], pieces[cut:]
                    number += 1
            except QueueFull:
                break
        driver.publish()
        while (chain := device.take()) is not None:
            taken.append(chain)
        random_.shuffle(taken)
        for _ in range(random_.randrange(4)):
            if taken:
                chain = taken.pop()
                device.put(chain, chain.space)
        while (answer := driver.reap()) is not None:
            token, written = answer
            readable, writable = lent.pop(token)
            assert written == sum(n for _, n in writable)
            back += 1
    assert device.broken is None and driver.free == size and device.in_flight == 0


@pytest.mark.parametrize("kind, indirect, event_idx", FORMS)
def test_no_field_is_fetched_twice(kind, indirect, event_idx):
    """A driver that changes what it has published finds nobody who looks again."""
    memory, driver, device = pair(kind, 8, indirect, event_idx)
    for token in range(3):
        driver.add([(BUFFERS, 16)], [(BUFFERS + 0x100, 32)], token)
    driver.publish()
    memory.reads.clear()
    chains = [device.take() for _ in range(3)]
    assert [chain.readable for chain in chains] == [[(BUFFERS, 16)]] * 3 and memory.fetched_twice() == []
    device.must_interrupt()
    assert memory.fetched_twice() == []


@pytest.mark.parametrize("kind, indirect, event_idx", FORMS)
def test_what_is_changed_after_it_was_taken_changes_nothing(kind, indirect, event_idx):
    memory, driver, device = pair(kind, 8, indirect, event_idx)
    driver.add([(BUFFERS, 16)], [(BUFFERS + 0x100, 32)], 0)
    driver.publish()
    chain = device.take()
    memory.write(TABLE, b"\xff" * 128)
    assert chain.readable == [(BUFFERS, 16)] and chain.fetch(0, 16) == bytes(16)


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_without_events_a_flag_says_no(kind):
    memory, driver, device = pair(kind)
    device.awake()
    driver.add([(BUFFERS, 1)], [], 0)
    assert not driver.publish()
    assert device.rest()                        # it came while nobody was to kick: look again
    driver.awake()
    device.put(device.take(), 0)
    assert not device.must_interrupt()
    assert driver.sleep()                       # and so here
    driver.reap()
    driver.add([(BUFFERS, 1)], [], 0)
    assert driver.publish() and not driver.sleep()
    device.put(device.take(), 0)
    assert device.must_interrupt() and not device.rest()


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_with_events_one_interrupt_for_so_many(kind):
    """The driver asks for one when three are back; over many turns exactly every third answer interrupts."""
    memory, driver, device = pair(kind, 8, event_idx=True)
    device.must_interrupt()
    interrupts = kicks = 0
    for turn in range(1, 301):
        device.rest()
        if turn % 3 == 1:
            assert not driver.sleep(3)
        driver.add([(BUFFERS, 1)], [], turn)
        kicks += driver.publish()
        device.put(device.take(), 0)
        if device.must_interrupt():
            interrupts += 1
            assert turn % 3 == 0
            while driver.reap():
                pass
    assert (interrupts, kicks) == (100, 300)


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_with_events_a_device_that_is_looking_is_not_kicked(kind):
    memory, driver, device = pair(kind, 8, event_idx=True)
    device.rest()
    kicks = []
    for number in range(4):                     # the device's event lies behind after the first
        driver.add([(BUFFERS, 1)], [], number)
        kicks.append(driver.publish())
    assert kicks == [True, False, False, False]
    assert device.rest()


def test_in_order_answers_wait_for_older_ones():
    memory, driver, device = pair("split", in_order=True)
    for number in range(3):
        driver.add([], [(BUFFERS, 8)], number)
    driver.publish()
    first, second, third = [device.take() for _ in range(3)]
    device.put(third, 3)
    device.put(second, 2)
    assert driver.reap() is None and device.in_flight == 3
    device.put(first, 1)
    assert [driver.reap() for _ in range(4)] == [(0, 1), (1, 2), (2, 3), None] and device.in_flight == 0


def test_in_order_one_used_element_may_stand_for_several():
    memory, driver, device = pair("split", in_order=True)
    for number in range(3):
        driver.add([], [(BUFFERS, 8)], number)
    driver.publish()
    heads = [device.take().id for _ in range(3)]
    memory.write(DEVICE + 4, heads[1].to_bytes(4, "little") + (5).to_bytes(4, "little"))
    memory.write(DEVICE + 2, (2).to_bytes(2, "little"))
    assert [driver.reap() for _ in range(3)] == [(0, 8), (1, 5), None]       # those before the last are full
    memory.write(DEVICE + 4 + 16, heads[2].to_bytes(4, "little") + (7).to_bytes(4, "little"))
    memory.write(DEVICE + 2, (3).to_bytes(2, "little"))
    assert driver.reap() == (2, 7)


@pytest.mark.parametrize("kind", ["split", "packed"])
def test_a_driver_believes_no_answer_to_nothing(kind):
    memory, driver, device = pair(kind)
    driver.add([(BUFFERS, 1)], [], 0)
    driver.publish()
    chain = device.take()
    chain.id = 5
    device.put(chain, 0)
    with pytest.raises(BadAnswer, match="chain 5, which it doesn't have"):
        driver.reap()


@pytest.mark.parametrize("kind, position", [("split", (65535, 65535)), ("packed", (0x8006, 0x8006)), ("packed", (6, 6))])
def test_another_object_goes_on_where_one_was(kind, position):
    memory, driver, first = pair(kind)
    for number in range(22 if kind == "packed" and position[0] & 0x8000 else 14 if kind == "packed" else 65535):
        driver.add([], [(BUFFERS, 1)], number)
        driver.publish()
        first.put(first.take(), 1)
        assert driver.reap() == (number, 1)
    assert first.position == position
    second = device_half(kind, memory, available=position[0], used=position[1])
    for number in range(20):
        driver.add([], [(BUFFERS, 1)], number)
        driver.publish()
        second.put(second.take(), 1)
        assert driver.reap() == (number, 1)


@pytest.mark.parametrize("kind, size, text", [("split", 6, "a power of two"), ("split", 0, "a power of two"), ("split", 1 << 16, "32768"),
                                              ("packed", 0, "1 to 32768"), ("packed", 32769, "1 to 32768")])
def test_sizes_that_no_queue_has(kind, size, text):
    with pytest.raises(ValueError, match=text):
        pair(kind, size, memory=Memory(4 << 20))


def test_a_driver_that_asks_for_too_much():
    _, driver, _ = pair("split", 4)
    with pytest.raises(QueueFull, match="5 descriptors needed, 4 free"):
        driver.add([(BUFFERS, 1)] * 5, [], 0)
    with pytest.raises(ValueError, match="no pieces"):
        driver.add([], [], 0)
    assert driver.free == 4
