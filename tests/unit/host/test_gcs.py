"""The bridge, against an agent that is written by hand: the order of messages, and everything a hostile one may send."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gcs_rig import (
    CAPABLE,
    CREATE,
    EXECUTE,
    MODIFY,
    NEGOTIATE,
    NOTIFY,
    SHUTDOWN,
    START,
    WAIT,
    answer,
    message,
    served,
    started,
)
from vmio.drivers.errors import DriverError
from vmio.host.gcs.stdio import MAX_OUTPUT
from vmio.vmbus.gcs import wire
from vmio.vmbus.gcs.messages import MAX_DEPTH, BridgeBroken, MessageReader, frame, parse
from vmio.vmbus.socket.wire import service_of

# microsoft/hcsshim 7c9ff7f481383ff47524bade75d1b25d631b49ce, internal/gcs/prot/protocol.go, as numbers.
NUMBERS = {"CREATE": 1, "START": 2, "SHUTDOWN_GRACEFUL": 3, "SHUTDOWN_FORCED": 4, "EXECUTE_PROCESS": 5, "WAIT_FOR_PROCESS": 6, "SIGNAL_PROCESS": 7,
           "RESIZE_CONSOLE": 8, "GET_PROPERTIES": 9, "MODIFY_SETTINGS": 10, "NEGOTIATE_PROTOCOL": 11, "DUMP_STACKS": 12,
           "DELETE_CONTAINER_STATE": 13, "UPDATE_CONTAINER": 14, "LIFECYCLE_NOTIFICATION": 15}


def test_numbers_are_those_of_hcsshim():
    assert {each.name: each.value for each in wire.Rpc} == {name: 0x00100000 | number << 8 | 1 for name, number in NUMBERS.items()}
    assert (wire.NOTIFY_CONTAINER, wire.MAX_MESSAGE, wire.GCS_PORT, wire.PROTOCOL) == (NOTIFY, 0x10000, 0x40000000, 4)
    assert frame(0x10100B01, 7, {"a": "\u00e9"}) == message(NEGOTIATE, 7, '{"a":"\u00e9"}'.encode())


def honest(agent, asked=None):
    """All of one process, by hand; every request's type goes to `asked`."""
    seen = [] if asked is None else asked
    while True:
        got = yield from agent.request()
        if got is None:
            return
        kind, number, body = got
        seen.append((kind, number, body))
        reply = dict(CAPABLE) if kind == NEGOTIATE else {}
        if kind == EXECUTE:
            ports = body["Settings"]["VsockStdioRelaySettings"]
            stdio = {}
            for name in ("StdIn", "StdOut", "StdErr"):
                stdio[name] = yield from agent.sockets.connect(service_of(ports[name]))
            reply["ProcessId"] = 17
        elif kind == WAIT:
            got = bytearray()
            while data := (yield from stdio["StdIn"].receive()):
                got += data
            yield from stdio["StdOut"].send(b"<" + got + b">")
            for each in stdio.values():
                yield from each.close()
            reply["ExitCode"] = 3
        yield from agent.say(message(answer(kind), number, {"Result": 0, **reply}))
        if kind == SHUTDOWN:
            yield from agent.say(message(NOTIFY, 0, {"ContainerId": "c1", "Type": "GracefulExit", "Operation": "None", "Result": 0}))


def test_one_process_in_the_order_of_hcsshim():
    asked = []

    def steps(vm):
        found = yield from started(vm)
        vm.leave()
        return found
    vm, said, found = served(lambda agent: honest(agent, asked), steps)
    assert said is None and found == (3, b"<in>", b"", "GracefulExit")
    assert [kind for kind, _, _ in asked] == [NEGOTIATE, CREATE, START, CREATE, START, EXECUTE, WAIT, SHUTDOWN]
    assert [number for _, number, _ in asked] == list(range(1, 9))
    nobody = "00000000-0000-0000-0000-000000000000"
    assert [body["ContainerId"] for _, _, body in asked] == [nobody] * 3 + ["c1"] * 5
    assert (asked[0][2]["MinimumVersion"], asked[0][2]["MaximumVersion"]) == (4, 4)
    assert [json.loads(asked[n][2]["ContainerConfig"]) for n in (1, 3)] == [{"SystemType": "Container"}, {"a": 1}]
    settings = asked[5][2]["Settings"]
    assert settings["VsockStdioRelaySettings"] == {"StdIn": 0x40000001, "StdOut": 0x40000002, "StdErr": 0x40000003}
    assert json.loads(settings["ProcessParameters"])["CommandArgs"] == ["sh"]
    assert asked[6][2]["ProcessId"] == 17
    assert vm.ended == "the host has closed the bridge" and sum(vm.bridge.messages.values()) == 17 and not vm.containers


def test_resources_are_added_by_modify():
    asked = []

    def steps(vm):
        yield from vm.bring_up()
        yield from vm.modify("VPMemDevice", {"DeviceNumber": 0, "MountPath": "/layers/0"})
        vm.leave()
    served(lambda agent: honest(agent, asked), steps)
    assert asked[3][0] == MODIFY and asked[3][2]["Request"] == {
        "ResourceType": "VPMemDevice", "RequestType": "Add", "Settings": {"DeviceNumber": 0, "MountPath": "/layers/0"}}


def test_an_agent_without_those_capabilities_is_not_asked_to_create_itself():
    asked = []

    def script(agent):
        kind, number, _ = yield from agent.request()
        yield from agent.say(message(answer(kind), number, {"Result": 0, "Version": 4}))
        yield from honest(agent, asked)

    def steps(vm):
        yield from vm.bring_up()
        yield from vm.container("c1", {})
        vm.leave()
    _, said, _ = served(script, steps)
    assert said is None and [kind for kind, _, _ in asked] == [CREATE, START]


def test_what_the_agent_refuses_is_said_and_the_bridge_lives():
    def script(agent):
        kind, number, _ = yield from agent.agree(EXECUTE)
        yield from agent.say(message(answer(kind), number, {"Result": -2147024894, "ErrorMessage": "no such file"}))
    vm, said, _ = served(script)
    assert said == "EXECUTE_PROCESS: the agent refuses, 0x80070002 no such file" and vm.ended is None and "c1" in vm.containers


HOSTILE = [
    (lambda number: message(answer(EXECUTE), number, b"", size=15), "GCS: a message of 15 bytes; 16 to 65,536"),
    (lambda number: message(answer(EXECUTE), number, b"", size=0), "GCS: a message of 0 bytes; 16 to 65,536"),
    (lambda number: message(answer(EXECUTE), number, b"", size=0x10001), "GCS: a message of 65,537 bytes; 16 to 65,536"),
    (lambda number: message(answer(EXECUTE), number, b"", size=0xFFFFFFFF), "GCS: a message of 4,294,967,295 bytes; 16 to 65,536"),
    (lambda number: message(answer(EXECUTE), 99, {"Result": 0}), "GCS: a response with id 99, and nothing was asked with it"),
    (lambda number: message(answer(CREATE), 1, {"Result": 0}), "GCS: a response with id 1, and nothing was asked with it"),
    (lambda number: message(answer(WAIT), number, {"Result": 0}), "GCS: WAIT_FOR_PROCESS response to EXECUTE_PROCESS"),
    (lambda number: message(EXECUTE, number, {}), "GCS: EXECUTE_PROCESS request from an agent"),
    (lambda number: message(0x20100099, number, {}), "GCS: a message of type 0x20100099, which there is not"),
    (lambda number: message(0xFFFFFFFF, number, {}), "GCS: a message of type 0xffffffff, which there is not"),
    (lambda number: message(answer(EXECUTE), number, b"[" * 60000), "GCS: JSON deeper than 16 brackets"),
    (lambda number: message(answer(EXECUTE), number, b'{"Result":' + b"9" * 60000 + b"}"), "GCS: a number of more than 32 digits in JSON"),
    (lambda number: message(answer(EXECUTE), number, b"nothing"), "GCS: no JSON in a message: Expecting value: line 1 column 1 (char 0)"),
    (lambda number: message(answer(EXECUTE), number, b"\xff{}"), "GCS: no JSON in a message: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    (lambda number: message(answer(EXECUTE), number, b"[]"), "GCS: JSON that is a list; an object is due"),
    (lambda number: message(answer(EXECUTE), number, b'{"Result":NaN}'), "GCS: no JSON in a message: NaN is no number of JSON's"),
    (lambda number: message(answer(EXECUTE), number, {"Result": "0"}), "GCS: a result that is no HRESULT in a response to EXECUTE_PROCESS"),
    (lambda number: message(answer(EXECUTE), number, {"Result": 1 << 40}), "GCS: a result that is no HRESULT in a response to EXECUTE_PROCESS"),
    (lambda number: message(answer(EXECUTE), number, {"Result": 0, "ProcessId": -1}), "GCS: ProcessId -1; 0 to 0xffffffff"),
    (lambda number: message(answer(EXECUTE), number, {"Result": 0, "ProcessId": [1]}), "GCS: ProcessId [1]; 0 to 0xffffffff"),
    (lambda number: message(NOTIFY, 0, {"ContainerId": "another's"}), "GCS: container \"another's\" has ended, and there is none of this name"),
    (lambda number: message(NOTIFY, 0, {}), "GCS: container 'None' has ended, and there is none of this name")]


@pytest.mark.parametrize("lie, said", HOSTILE, ids=[said[5:40] for _, said in HOSTILE])
def test_a_lie_ends_the_bridge_with_one_sentence(lie, said):
    def script(agent):
        _, number, _ = yield from agent.agree(EXECUTE)
        yield from agent.say(lie(number))
        yield from agent.socket.receive()
    vm, heard, _ = served(script)
    assert heard == said == vm.ended and not vm.containers
    assert not vm.sockets.sockets and not vm.sockets._listeners


def test_another_version_is_refused():
    def script(agent):
        kind, number, _ = yield from agent.request()
        yield from agent.say(message(answer(kind), number, {"Result": 0, "Version": 3}))
        yield from agent.socket.receive()
    vm, said, _ = served(script)
    assert said == "GCS: the agent speaks version 3; 4 is spoken here" == vm.ended


def test_an_agent_that_leaves_or_is_silent():
    def leaves(agent):
        yield from agent.agree(EXECUTE)
        yield from agent.socket.close()
    vm, said, _ = served(leaves)
    assert said == "GCS: the agent has closed the bridge" == vm.ended

    def silent(agent):
        yield from agent.agree(EXECUTE)
        until = agent.cpu.now + 5_000_000
        while agent.cpu.now < until:
            yield from agent.cpu.hlt(until - agent.cpu.now)

    def impatient(vm):
        yield vm.connected
        vm.bridge._timeout = 1_000_000
        return (yield from started(vm))
    vm, said, _ = served(silent, impatient)
    assert said == "GCS: no answer to EXECUTE_PROCESS in 1,000,000 ns"


def test_a_process_that_never_stops_writing_ends_its_guest():
    def script(agent):
        asked = yield from agent.agree(EXECUTE)
        port = asked[2]["Settings"]["VsockStdioRelaySettings"]["StdOut"]
        out = yield from agent.sockets.connect(service_of(port))
        yield from agent.say(message(answer(EXECUTE), asked[1], {"Result": 0, "ProcessId": 1}))
        yield from out.send(bytes(MAX_OUTPUT + 100_000))
    vm, said, _ = served(script)
    assert said == f"GCS: a process has written more than {MAX_OUTPUT:,} bytes to its StdOut"


def test_a_second_agent_finds_nobody():
    heard = []

    def script(agent):
        yield from agent.agree(EXECUTE)
        try:
            yield from agent.sockets.connect(service_of(0x40000000))
        except DriverError as error:
            heard.append(str(error))
        yield from agent.socket.close()
    served(script)
    assert heard == ["socket: the host refuses the connection, status 0xc0000236"]


def test_a_container_twice_is_refused_before_anything_is_asked():
    def steps(vm):
        yield from vm.bring_up()
        yield from vm.container("c1", {})
        with pytest.raises(ValueError, match="container 'c1': there is one with this id"):
            yield from vm.container("c1", {})
        vm.leave()
        return sum(vm.bridge.messages.values())
    _, _, found = served(honest, steps)
    assert found == 10


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(wire.TYPES)), st.integers(0, (1 << 64) - 1),
                          st.dictionaries(st.text(max_size=8), st.one_of(st.integers(-1 << 31, 1 << 32), st.text(max_size=20)), max_size=4)), max_size=6),
       st.lists(st.integers(1, 40), min_size=1, max_size=20))
def test_messages_come_whole_however_they_are_cut(messages, cuts):
    stream, reader, got, turn = b"".join(message(*each) for each in messages), MessageReader(), [], 0
    while stream:
        size = cuts[turn % len(cuts)]
        got += [(each.type, each.id, each.body) for each in reader.feed(stream[:size])]
        stream, turn = stream[size:], turn + 1
    assert got == messages and reader.left == 0


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_one_sentence(data):
    reader = MessageReader()
    try:
        for each in reader.feed(data):
            assert isinstance(each.body, dict)
    except BridgeBroken as error:
        assert str(error).startswith("GCS: ") and "\n" not in str(error)
    assert reader.left <= wire.MAX_MESSAGE


@pytest.mark.parametrize("depth, good", [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
def test_depth_is_counted_outside_of_strings(depth, good):
    body = b'{"a":' * depth + b"1" + b"}" * depth
    if good:
        assert parse(body)
    else:
        with pytest.raises(BridgeBroken, match="deeper than 16"):
            parse(body)
    assert parse(b'{"a":"' + b"[" * 100 + b'\\"' + b"9" * 100 + b'"}')["a"] == "[" * 100 + '"' + "9" * 100


def test_a_message_of_more_than_64_kib_is_not_sent():
    with pytest.raises(ValueError, match="at most 65,536"):
        frame(NEGOTIATE, 1, {"a": "x" * 65536})
