"""The bus server's answers to messages about GPADLs; the lists themselves are checked in `gpadl.py`."""

from collections.abc import Callable

from vmio.hypervisor.contracts import Steps
from vmio.machine.contracts import Record
from vmio.vmbus.bus import messages as m
from vmio.vmbus.bus.gpadl import Gpadl, GpadlIgnored, GpadlRefused, GpadlTable
from vmio.vmbus.bus.host_channel import HostChannel, State

FAILED = 0xC0000001    # NTSTATUS STATUS_UNSUCCESSFUL, in results and GPADL_CREATED


class GpadlAnswers:
    """The part of `VmbusServer` that makes and tears down GPADLs."""

    gpadls: GpadlTable
    channels: dict[int, HostChannel]
    _refuse: Callable[[str], None]
    _send: Callable[..., None]
    _announced: Callable[[int], HostChannel | None]

    def _gpadl_header(self, record: Record) -> None:
        """Begin a GPADL of a channel that the guest knows, also of one that was rescinded meanwhile.

        The header may have been on its way before the guest saw the RESCIND, and Linux's
        drivers don't take a failure then; as Hyper-V does it, it is made and may be torn
        down, and it goes at the latest with the relid (OpenVMM, pull requests 3649 and 3959).
        """
        if self._announced(record.relid) is not None:
            self._gpadl(self.gpadls.header, record, record.relid)

    def _gpadl_body(self, record: Record) -> None:
        self._gpadl(self.gpadls.body, record, None)

    def _gpadl(self, take: Callable[[Record], Gpadl], record: Record, relid: int | None) -> None:
        try:
            gpadl = take(record)
        except GpadlIgnored as error:
            self._refuse(str(error))
        except GpadlRefused as error:
            self._refuse(str(error))
            self._created(getattr(error, "relid", relid or 0), record.gpadl, FAILED)
        else:
            if gpadl.ranges is not None:
                self._created(gpadl.relid, gpadl.handle, 0)

    def _created(self, relid: int, handle: int, status: int) -> None:
        self._send(m.GPADL_CREATED.pack(relid=relid, gpadl=handle, status=status))

    def _teardown(self, record: Record) -> Steps[None] | None:
        gpadl = self.gpadls.by_handle.get(record.gpadl)
        channel = self.channels.get(record.relid)
        if gpadl is None or channel is None or gpadl.relid != record.relid:
            return self._refuse("teardown of no GPADL of this channel")
        if gpadl is channel.ring and channel.state is not State.RESCINDED:
            return self._refuse("teardown of a ring in use")
        return self._tear_down(channel, gpadl)

    def _tear_down(self, channel: HostChannel, gpadl: Gpadl) -> Steps[None]:
        """TORNDOWN says that the guest may use the pages for something else: not before the device has let go."""
        if channel.end is None:
            yield from channel.drained()
        torn_down = getattr(channel.device, "torn_down", None)
        if torn_down is not None:
            torn_down(gpadl)
        self.gpadls.drop(gpadl)
        self._send(m.GPADL_TORNDOWN.pack(gpadl=gpadl.handle))
