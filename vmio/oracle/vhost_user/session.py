"""One front end's conversation: its messages, its kicks, and what follows from them.

    session = Session(peer, device, say)
    session.run()           until the front end has gone

A message that is refused is told to `say` in a sentence, and answered by a number other than 0 where an answer is asked for
(need_reply); where none is, the front end would believe that all is well, so the conversation ends.
"""

import os
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from vmio.machine.layout import ShortMessage
from vmio.oracle.vhost_user.answers import Answers
from vmio.oracle.vhost_user.ring import Ring
from vmio.oracle.vhost_user.ring_answers import Rule
from vmio.oracle.vhost_user.stream import Message, ProtocolError, Stream
from vmio.oracle.vhost_user.wire import NUMBER, Protocol, Request
from vmio.virtio.device import VirtioDevice
from vmio.virtio.queue import need_event

POLL_S = 0.001                  # a ring without a kick descriptor is looked at so often
REFUSED = NUMBER.pack(value=1)
DONE = NUMBER.pack(value=0)


class Session:
    """The conversation with the front end at the other end of `peer`; `device` serves its rings, `rule` decides whether it hears of it."""

    def __init__(self, peer: socket.socket, device: VirtioDevice, say: Callable[[str], object] = print, rule: Rule = need_event) -> None:
        self.say, self.device = say, device
        self.messages = 0
        self.own_ns = 0                 # of the processor, for requests
        self._stream = Stream(peer)
        self._selector = selectors.PollSelector()       # epoll would go on with descriptors that are closed here, and open there
        self._selector.register(peer, selectors.EVENT_READ)
        self._watched: dict[int, Ring] = {}         # by their kick descriptors
        self.more: set[Ring] = set()               # rings that are to be looked at without a kick
        self.answers = Answers(device, say, self._look_at, rule)

    @property
    def rings(self) -> list[Ring]:
        """The rings of the device."""
        return self.answers.rings

    def run(self) -> None:
        """Go on until the front end goes, or says what can't be answered; then let go of all that was its."""
        try:
            while self.turn():
                pass
        finally:
            self.close()

    def turn(self) -> bool:
        """Wait until something happens, and deal with it; False when the conversation is over."""
        polled = {ring for ring in self.rings if ring.polled and ring.running}
        ready = self._selector.select(0 if self.more else POLL_S if polled else None)
        kicked = [self._watched[key.fd] for key, _ in ready if key.fd in self._watched]
        for ring in kicked:
            if not ring.kicked():
                self.say(f"ring {ring.number}: its kick descriptor gives no more kicks")
                ring.take("kick", -1)
                self._watch()
        due = sorted({*kicked, *polled, *self.more}, key=lambda ring: ring.number)
        begun = time.thread_time_ns()
        self.more = {ring for ring in due if ring.work()}
        self.own_ns += time.thread_time_ns() - begun
        return self._messages()

    def _messages(self) -> bool:
        """Answer what has come; False when the conversation is over."""
        try:
            while (message := self._stream.receive()) is not None:
                self.messages += 1
                try:
                    if not self._answer(message):
                        return False
                finally:
                    message.close()
                    self._watch()
        except ProtocolError as error:
            self.say(f"{error}; the conversation ends")
            return False
        except EOFError:
            return False
        return True

    def _answer(self, message: Message) -> bool:
        """Do what a message says, and reply if it is asked for."""
        acknowledged = bool(message.needs_reply and self.answers.protocol & Protocol.REPLY_ACK)
        try:
            reply = self.answers.to(message)
        except (ValueError, ShortMessage) as error:
            self.say(f"message {message.name}: {error}" + ("" if acknowledged else "; the conversation ends"))
            if message.request == Request.GET_CONFIG:       # its own way to say no
                self._stream.reply(message.request, b"")
                return True
            if acknowledged:
                self._stream.reply(message.request, REFUSED)
            return acknowledged
        if reply is not None:
            sent, self.answers.sent = self.answers.sent, ()
            try:
                self._stream.reply(message.request, reply, sent)
            finally:
                for fd in sent:
                    os.close(fd)
        elif acknowledged:
            self._stream.reply(message.request, DONE)
        return True

    def _look_at(self, ring: Ring) -> None:
        """Serve a ring at the next turn: something has changed for which nobody kicks."""
        self.more.add(ring)

    def _watch(self) -> None:
        """Watch the kick descriptors that there are now; a number may be another descriptor's than before."""
        for fd in self._watched:
            with suppress(KeyError, ValueError):
                self._selector.unregister(fd)
        self._watched = {ring.kick: ring for ring in self.rings if ring.kick >= 0}
        for fd in self._watched:
            self._selector.register(fd, selectors.EVENT_READ)

    def close(self) -> None:
        """Let go of memory, descriptors and rings."""
        self._selector.close()
        self._stream.close()
        self.answers.close()
