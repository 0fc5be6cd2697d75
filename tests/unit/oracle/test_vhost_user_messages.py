"""A vhost-user back end, message by message: what is answered, what is refused, and that refusing loses nothing."""

import os
import struct

import pytest

from tests.vhost_user_rig import (ADDR, BASE, ENABLE, GET_BASE, GET_FEATURES, GET_PROTOCOL, GUEST, KICK, NUM, OFFSET, SET_FEATURES, SET_MEM_TABLE,
                                  SET_OWNER, SET_PROTOCOL, SIZE, USER, USUAL, front_end, pair, table, u64)

READ, GET_QUEUES, GET_CONFIG, SET_CONFIG, SLOTS, ADD, REMOVE, SET_STATUS, GET_STATUS, RESET = 0, 17, 24, 25, 36, 37, 38, 39, 40, 34


def descriptors():
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


def test_what_is_offered():
    with front_end(queues=3) as front:
        features, = struct.unpack("<Q", front.ask(GET_FEATURES))
        assert [bit for bit in range(64) if features >> bit & 1] == [2, 6, 9, 12, 13, 14, 26, 28, 29, 30, 32, 34]
        assert struct.unpack("<Q", front.ask(GET_PROTOCOL)) == (0x1B20B,)
        assert struct.unpack("<Q", front.ask(GET_QUEUES)) == (3,)
    with front_end(readonly=True) as front:
        features, = struct.unpack("<Q", front.ask(GET_FEATURES))
        assert [bit for bit in range(26) if features >> bit & 1] == [2, 5, 6, 9]


def test_the_configuration_is_read_in_parts_and_never_written():
    with front_end(queues=2) as front:
        front.begin()
        whole = front.ask(GET_CONFIG, struct.pack("<III", 0, 60, 0) + bytes(60))
        assert whole[:12] == struct.pack("<III", 0, 60, 0)
        assert struct.unpack_from("<QII4xI", whole[12:]) == (2048, 0, 126, 512)
        assert struct.unpack_from("<H", whole[12:], 34) == (2,) and len(whole) == 72
        assert front.ask(GET_CONFIG, struct.pack("<III", 20, 4, 0) + bytes(4))[12:] == struct.pack("<I", 512)
        assert front.ask(GET_CONFIG, struct.pack("<III", 56, 8, 0) + bytes(8))[12:] == b"\1" + bytes(7)
        assert front.ask(GET_CONFIG, struct.pack("<III", 250, 60, 0) + bytes(60)) == b""        # its own way to say no
        assert front.open and "60 bytes at 250" in front.said[-1]
        assert not front.acknowledged(SET_CONFIG, struct.pack("<III", 32, 1, 0) + b"\1")
        assert front.open


def test_regions_come_and_go_and_are_found_by_both_addresses():
    with front_end() as front:
        front.begin()
        memory = front.session.answers.memory
        front.write(0x1234, b"here")
        assert memory.read(GUEST + 0x1234, 4) == b"here"
        memory.write(GUEST + 0x2000, b"there")
        assert front.read(0x2000, 5) == b"there"
        assert memory.guest_address(USER + 0x1234, 4) == GUEST + 0x1234
        assert struct.unpack("<Q", front.ask(SLOTS)) == (8,)
        more = struct.pack("<5Q", 0, GUEST + SIZE, 0x1000, USER + 2 * SIZE, 0)
        assert front.acknowledged(ADD, more, [front.memory])
        memory.write(GUEST + SIZE - 2, b"over the border")                      # from one region into the next
        assert front.read(SIZE - 2, 2) == b"ov" and os.pread(front.memory, 13, 0) == b"er the border"
        assert memory.read(GUEST + SIZE - 2, 15) == b"over the border"
        assert not front.acknowledged(ADD, more, [front.memory])
        assert "overlap" in front.said[-1]
        assert front.acknowledged(REMOVE, more)
        assert not front.acknowledged(REMOVE, more)
        assert len(memory.regions) == 1


@pytest.mark.parametrize("regions, fds, said", [
    ([(GUEST, SIZE, USER, OFFSET)], 0, "0 descriptors come with 1 memory regions"),
    ([(GUEST, SIZE, USER, OFFSET)], 2, "2 descriptors come with 1 memory regions"),
    ([(GUEST, SIZE, USER, OFFSET)], 9, "9 descriptors come with it; at most 8 may"),
    ([(GUEST, SIZE, USER, OFFSET + 1)], 1, "all of them must be in the file"),
    ([(GUEST, 0, USER, OFFSET)], 1, "all of them must be in the file"),
    ([(GUEST, 1 << 63, USER, 1 << 63)], 1, "all of them must be in the file"),
    ([((1 << 64) - 4096, SIZE, USER, OFFSET)], 1, "beyond the last address"),
    ([(GUEST, SIZE, USER, OFFSET), (GUEST + SIZE - 1, 4096, USER + SIZE, 0)], 2, "overlap"),
    ([], 0, "0 memory regions"),
])
def test_memory_that_can_not_be_is_refused_and_what_was_shared_before_stays(regions, fds, said):
    with front_end() as front:
        front.begin()
        front.write(0, b"still here")
        before = descriptors()
        assert not front.acknowledged(SET_MEM_TABLE, table(*regions), [front.memory] * fds)
        assert said in front.said[-1] and front.said[-1].startswith("message SET_MEM_TABLE: ")
        assert front.session.answers.memory.read(GUEST, 10) == b"still here"
        assert descriptors() == before


def test_a_descriptor_that_is_no_shared_file_is_refused(tmp_path):
    read_only = os.open(__file__, os.O_RDONLY)
    folder = os.open(tmp_path, os.O_RDONLY)
    pipe = os.pipe()
    try:
        with front_end() as front:
            front.begin()
            for fd in (read_only, folder, *pipe):
                assert not front.acknowledged(SET_MEM_TABLE, table((GUEST, 64, USER, 0)), [fd])
            assert len(front.session.answers.memory.regions) == 1
    finally:
        for fd in (read_only, folder, *pipe):
            os.close(fd)


@pytest.mark.parametrize("number, payload, said", [
    (99, b"", "message number 99: it is not known here"),
    (GET_FEATURES, b"1234", "it has 4 bytes; none are allowed"),
    (SET_FEATURES, u64(1 << 50), "0x4000000000000 of them were not offered"),
    (SET_FEATURES, b"1234", "4 bytes, 8 needed"),
    (SET_FEATURES, bytes(9), "it has 9 bytes; 8 are needed"),
    (SET_PROTOCOL, u64(1 << 40), "were not offered"),
    (NUM, pair(0, 0), "ring 0 of 0 entries"),
    (NUM, pair(0, 24), "a power of two where it isn't packed"),
    (NUM, pair(0, 1 << 16), "ring 0 of 65536 entries"),
    (NUM, pair(1, 16), "ring 1: there are rings 0 to 0"),
    (BASE, pair(7, 0), "ring 7: there are rings 0 to 0"),
    (ENABLE, pair(0, 2), "1 enables it, 0 disables it"),
    (KICK, u64(0), "no descriptor comes along"),
    (KICK, u64(0x200), "0x200: a ring's number is in bits 0 to 7"),
    (KICK, u64(0x100), "its size and place were not said before"),
    (31, struct.pack("<QQHH", 0, 0, 2, 16), "2 rings of 16 entries; 1 to 1 of"),
    (31, struct.pack("<QQHHH", 0, 0, 1, 16, 0), "it has 22 bytes; 20 or 24 are needed"),
    (32, struct.pack("<QQHH", 4096, 0, 1, 16), "no descriptor comes"),
    (6, struct.pack("<QQ", 4096, 0), "no descriptor comes with the log"),
    (ADD, bytes(40), "no descriptor comes with the memory region"),
])
def test_what_can_not_be_done_is_said_and_answered(number, payload, said):
    with front_end() as front:
        front.begin()
        assert not front.acknowledged(number, payload)
        assert said in front.said[-1] and len(front.said) == 1
        assert front.open and front.acknowledged(SET_OWNER)


def test_without_an_answer_the_conversation_ends_for_the_front_end_would_believe_it():
    with front_end() as front:
        front.begin()
        front.send(NUM, pair(0, 24))
        assert not front.open and front.said[-1].endswith("; the conversation ends") and front.quiet()


def test_what_was_not_agreed_on_is_refused():
    with front_end() as front:
        front.begin(protocol=1 << 3)
        for number, payload, name in ((GET_STATUS, b"", "STATUS"), (SLOTS, b"", "CONFIGURE_MEM_SLOTS"), (RESET, b"", "RESET_DEVICE"),
                                      (SET_CONFIG, struct.pack("<III", 0, 0, 0), "CONFIG")):
            assert not front.acknowledged(number, payload)
            assert f"the protocol feature {name}, which was not agreed on" in front.said[-1]


def test_need_reply_is_not_heeded_before_it_is_agreed_on():
    with front_end() as front:
        front.send(SET_OWNER, flags=9)
        assert front.quiet() and front.open


@pytest.mark.parametrize("head, said", [
    (struct.pack("<III", 1, 0, 0), "version 0; version 1 is spoken"),
    (struct.pack("<III", 1, 5, 0), "an answer, and nothing was asked"),
    (struct.pack("<III", 2, 1, 1 << 31), "announces 2,147,483,648 bytes; none has more than 4,096"),
])
def test_what_is_no_message_ends_the_conversation(head, said):
    with front_end() as front:
        front.socket.send(head)
        assert not front.session.turn()
        assert said in front.said[-1]


def test_a_message_may_come_byte_by_byte_with_its_descriptors():
    with front_end() as front:
        front.begin()
        before = descriptors()
        payload = table((GUEST, SIZE, USER, OFFSET))
        data = struct.pack("<III", SET_MEM_TABLE, 9, len(payload)) + payload
        import array
        import socket
        front.socket.sendmsg([data[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [front.memory]))])
        assert front.session.turn()
        for n in range(1, len(data)):
            front.socket.send(data[n:n + 1])
            assert front.session.turn()
        assert front.answer() == (SET_MEM_TABLE, u64(0))
        assert descriptors() == before


def test_a_front_end_that_dies_in_the_middle_leaves_no_descriptors():
    before = descriptors()
    with front_end() as front:
        front.begin()
        front.ring()
        front.send(NUM, b"12", [front.memory] * 3, size=8)
        assert front.open
        front.socket.close()
        assert not front.session.turn()
        assert "in the middle of a message, after 14 bytes" in front.said[-1]
    assert descriptors() == before


def test_too_many_descriptors_are_closed():
    with front_end() as front:
        front.begin()
        before = descriptors()
        assert not front.acknowledged(SET_OWNER, fds=[front.memory] * 250)
        assert "250 descriptors come with it; at most 0 may" in front.said[-1]
        assert descriptors() == before


def test_the_device_status_is_kept_and_0_resets():
    with front_end() as front:
        front.begin()
        ring = front.ring()
        front.send(SET_STATUS, u64(0xF))
        assert front.ask(GET_STATUS) == u64(0xF)
        assert ring.request(READ, 1, 512)[0] == 0
        front.send(SET_STATUS, u64(0))
        assert front.ask(GET_STATUS) == u64(0) and not front.session.rings[0].running
        assert front.ask(GET_BASE, pair(0, 0)) == pair(0, 1)            # QEMU 7.2 asks after it
        front.send(RESET)
        assert front.ask(GET_BASE, pair(0, 0)) == pair(0, 0)


def test_a_ring_that_runs_keeps_its_size_and_place():
    with front_end() as front:
        front.begin()
        front.ring()
        for number, payload in ((NUM, pair(0, 8)), (BASE, pair(0, 3)), (31, struct.pack("<QQHH", 0, 0, 1, 16))):
            assert not front.acknowledged(number, payload)
            assert "GET_VRING_BASE stops it first" in front.said[-1]
        assert not front.acknowledged(ADDR, struct.pack("<II4Q", 0, 0, USER, USER - 4096, USER, 0))
        assert "ring 0, used ring: " in front.said[-1]
        assert front.session.rings[0].queue.device == GUEST + 0x4000


def test_features_without_bit_30_start_a_ring_enabled():
    with front_end() as front:
        front.begin(USUAL & ~(1 << 30))
        assert not front.acknowledged(ENABLE, pair(0, 1))
        assert "enabled from its start" in front.said[-1]
        assert front.session.rings[0].enabled
