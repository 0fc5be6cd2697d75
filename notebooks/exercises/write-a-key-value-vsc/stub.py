from vmio.vmbus.packets import COMPLETION_REQUESTED, INBAND
from vmio.vmbus.ring import RingFull
from vmio.workloads.kv import ANSWER, GET, PUT, REQUEST


class KeyValueVsc:
    """The guest's driver: `done` is called when the answer to a request has come."""

    def __init__(self, end):
        self.end = end

    def put(self, key, value, done):
        ...

    def get(self, key, done):
        ...

    def flush(self):
        ...

    def interrupted(self):
        ...
