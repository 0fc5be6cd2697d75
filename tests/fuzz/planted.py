"""Bugs to plant in the host, one at a time: each is a check that somebody forgot.

A row is (part, where, what stands there, what stands there instead).  While `planted(row)`
lasts, the function runs with that one change; a fuzzer that stays silent then is blind.
"""

import inspect
import textwrap
from contextlib import contextmanager
from importlib import import_module

BUGS = (
    # The rings: indices, lengths and kinds are claims.
    ("ring", "vmio.vmbus.bus.ring:RingReader.receive", "or length + 8 > available", ""),
    ("ring", "vmio.vmbus.bus.ring:RingReader.receive", "kind not in KINDS or", ""),
    ("ring", "vmio.vmbus.bus.ring:RingReader._set_write", "if write >= self.size or write & 7:", "if False:"),
    ("ring", "vmio.vmbus.bus.ring:RingReader._set_write", "if available < self._available:", "if False:"),
    ("ring", "vmio.vmbus.bus.ring:RingWriter._set_read", "if read >= self.size or read & 7:", "if False:"),
    ("ring", "vmio.vmbus.bus.ring:RingWriter._set_read", "if free < self._free:", "if False:"),
    ("ring", "vmio.vmbus.bus.ring:parse_ranges", "if at + 8 * pages > len(data):", "if False:"),
    ("ring", "vmio.vmbus.bus.channel:ChannelEnd.receive", "self.error = error", "pass"),
    # StorVSP: pages, lengths, states, answers.
    ("storvsp", "vmio.vmbus.storage.srb:Srb._pages", "spa != ram_spa(number << 12)", "False"),
    ("storvsp", "vmio.vmbus.storage.srb:Srb._pages", "TranslationFault", "ZeroDivisionError"),
    ("storvsp", "vmio.vmbus.storage.srb:Srb._room_for", "transfer <= self.ranges[0].byte_count and", ""),
    ("storvsp", "vmio.vmbus.storage.srb:Srb.execute", "length > transfer", "False"),
    ("storvsp", "vmio.vmbus.storage.srb:Srb._over", "result.data[:transfer]", "result.data"),
    ("storvsp", "vmio.vmbus.storage.srb:Srb._finish", "not self.vsp.under_way.ended(self)", "False"),
    ("storvsp", "vmio.vmbus.storage.srb:Srb._finish", "if self.bounced:", "if False:"),
    ("storvsp", "vmio.vmbus.bus.worker:RingWorker._run", "request.end()", "pass"),
    ("storvsp", "vmio.vmbus.storage.scsi:ScsiTarget._media", "lba + sectors > self.sectors", "False"),
    ("storvsp", "vmio.vmbus.storage.scsi:ScsiTarget._media", 'op in ("write", "zero", "same") and self.read_only', "False"),
    ("storvsp", "vmio.vmbus.storage.storvsp:StorVsp.packet", "and self.state is READY", ""),
    ("storvsp", "vmio.vmbus.storage.storvsp:StorVsp.packet", "or not flags & COMPLETION_REQUESTED", ""),
    ("storvsp", "vmio.vmbus.bus.worker:RingWorker._room", "min(self.batch, self.max_in_flight - len(self.under_way))", "self.batch"),
    ("storvsp", "vmio.hypervisor.inflight:InFlight.drained", "if not self:", "if True:"),
    # The bus: whose pages, whose vCPU, which state.
    ("vmbus", "vmio.vmbus.bus.gpadl:GpadlTable.check", "any(spa(page * PAGE) is None for page in pages)", "False"),
    ("vmbus", "vmio.vmbus.bus.gpadl:GpadlTable.check", "len(set(pages)) != len(pages)", "False"),
    ("vmbus", "vmio.vmbus.bus.gpadl:GpadlTable.check", "any(covers(page * PAGE) for page in pages)", "False"),
    ("vmbus", "vmio.vmbus.bus.gpadl:GpadlTable.header", "self.pages + gpadl.cost > self._max_pages or", ""),
    ("vmbus", "vmio.vmbus.bus.gpadl:GpadlTable.header", "or len(self.by_handle) >= self._max_gpadls", ""),
    ("vmbus", "vmio.vmbus.bus.gpadl:GpadlTable._add", "words[:gpadl.words_declared - len(gpadl.words)]", "words"),
    ("vmbus", "vmio.vmbus.bus.server:VmbusServer._valid_vp", "vp < len(self.guest.vcpus)", "True"),
    ("vmbus", "vmio.vmbus.bus.server:VmbusServer._cannot_open", "not 2 <= record.downstream_page <= len(pages) - 2", "False"),
    ("vmbus", "vmio.vmbus.bus.server:VmbusServer._cannot_open", "and gpadl.relid == channel.relid", ""),
    ("vmbus", "vmio.vmbus.bus.server:VmbusServer._announced", "or not channel.announced", ""),
    ("vmbus", "vmio.vmbus.bus.server:VmbusServer._teardown", "gpadl is channel.ring", "False"),
    ("vmbus", "vmio.vmbus.bus.server:VmbusServer._contact", "record.target_vp >= len(self.guest.vcpus)", "False"),
    ("vmbus", "vmio.vmbus.bus.host_channel:HostChannel.stop",
     "self.server.hypervisor.event_ports.pop(self.connection_id, None)", "pass"),
    ("vmbus", "vmio.hypervisor.hyperv.hypercalls:Enlightenments._post_message", "len(port.queue) >= PORT_BUFFERS", "False"),
    ("vmbus", "vmio.vmbus.bus.monitor:MonitorPages.accepts", "page % PAGE == 0 and", ""),
    ("vmbus", "vmio.hypervisor.hyperv.stimer:SyntheticTimer._signal", "self.vector >= 16", "True"),
    ("vmbus", "vmio.hypervisor.hyperv.hypercalls:Overlays.show", "gpa + PAGE > self._guest.ram", "False"),
    # NVMe: queues that stay whole, data that stays within its fence and its time.
    ("nvme", "vmio.hardware.nvme.prp:_entries", "except FAULTS", "except ZeroDivisionError"),
    ("nvme", "vmio.hardware.nvme.prp:store", "except FAULTS", "except ZeroDivisionError"),
    ("nvme", "vmio.hardware.nvme.sgl:_read", "except FAULTS", "except ZeroDivisionError"),
    ("nvme", "vmio.hardware.nvme.nvm:NvmCommands._check", "request.lba + request.count > self.image.sectors", "False"),
    ("nvme", "vmio.hardware.nvme.controller:NvmeController._answers_seen", "head >= cq.size", "False"),
    ("nvme", "vmio.hardware.nvme.configure:_enable", "or not sq_entries or not cq_entries", ""),
    ("nvme", "vmio.hardware.nvme.controller:NvmeController._ready", "if request.done:", "if False:"),
    ("nvme", "vmio.hardware.nvme.admin:AdminCommands._create_cq", "or id in controller.cqs", ""),
    ("nvme", "vmio.hardware.nvme.admin:AdminCommands._create_sq", "or id in controller.sqs", ""),
    ("nvme", "vmio.hardware.nvme.admin:AdminCommands._delete_cq",
     "any(sq.cq is cq for sq in controller.sqs.values())", "False"),
    ("nvme", "vmio.hardware.nvme.admin:AdminCommands._check_ring", "not 1 <= entries <= MAX_ENTRIES", "False"),
    # ATA: the disk's end, the table's end, the registers of a busy device.
    ("ata", "vmio.devices.ata.disk:AtaDisk.in_range", "0 <= lba <= self.image.sectors - count", "True"),
    ("ata", "vmio.devices.ata.disk:AtaDisk.translate", "if sectors:", "if True:"),
    ("ata", "vmio.devices.ata.bmide:Engine._walk", "(at - self.table) & 0xFFFFFFFF < TABLE_BYTES", "True"),
    ("ata", "vmio.devices.ata.bmide:Engine._begin", "if fits < wanted:", "if False:"),
    ("ata", "vmio.devices.ata.bmide:Engine._fetch", "except FAULTS", "except ZeroDivisionError"),
    ("ata", "vmio.devices.ata.bmide:Engine._store", "except FAULTS", "except ZeroDivisionError"),
    ("ata", "vmio.devices.ata.channel:AtaChannel.write_register", "self.selected.status & (BSY | DRQ)", "False"),
    ("ata", "vmio.devices.ata.channel:AtaChannel.write_data", "end > self._end or", ""),
    # The board's chips: queues that end, dates that don't exist.
    ("chips", "vmio.devices.pc.uart:Uart._read_rbr", "if self._rx else 0", ""),
    ("chips", "vmio.devices.pc.ps2:Ps2Device.send", "len(self.queue) + len(values) <= QUEUE_BYTES", "True"),
    ("chips", "vmio.devices.pc.ps2:Ps2Device.take", "if self.queue:", "if True:"),
    ("chips", "vmio.devices.pc.pic:Pic._write_ocw2", "self.isr &= ~(1 << n)", "self.isr -= 1 << n"),
    ("chips", "vmio.devices.pc.pit:Counter.write", "(byte or 0x10000)", "byte"),
    # The Tulip: lists without an end, memory that isn't there, frames that are none.
    ("tulip", "vmio.devices.net.tulip.descriptors:Dma.read", "except (TranslationFault, MemoryFault)", "except ZeroDivisionError"),
    ("tulip", "vmio.devices.net.tulip.descriptors:Dma.write", "except (TranslationFault, MemoryFault)", "except ZeroDivisionError"),
    ("tulip", "vmio.devices.net.tulip.transmit:Transmitter._take", "len(self._frame) > b.JABBER", "False"),
    ("tulip", "vmio.devices.net.tulip.transmit:Transmitter._walk", "self.fatal()", "pass"),
    ("tulip", "vmio.devices.net.tulip.transmit:Transmitter.demand", 'self._cancel("poll")', "pass"),
    ("tulip", "vmio.devices.net.tulip.tulip:Tulip._out", "legal and self.port", "self.port"),
    ("tulip", "vmio.devices.net.tulip.tulip:Tulip._drive", "if self._dead:", "if False:"),
    ("tulip", "vmio.devices.net.tulip.tulip:Tulip.reset", "self.transmitter.reset()", "pass"),
    ("tulip", "vmio.devices.net.tulip.receive:Receiver.take", "or len(frame) < frames.HEADER", ""),
    ("tulip", "vmio.devices.net.tulip.receive:Receiver.take", "except BusError", "except ZeroDivisionError"),
    ("tulip", "vmio.devices.net.tulip.filter:Filter.load", "len(frame) != SETUP_BYTES", "False"),
    ("tulip", "vmio.devices.net.tulip.status:Status._sum_up", "self.value & self.enabled & (b.NIS", "self.value & (b.NIS"),
    ("tulip", "vmio.devices.net.tulip.timer:GeneralTimer.write", "self._stop()", "pass"),
    ("tulip", "vmio.devices.net.tulip.moderation:Held.frame", "self._stop()", "pass"),
    ("tulip", "vmio.devices.net.tulip.moderation:Held.reset", "self._stop()", "pass"),
    ("tulip", "vmio.devices.net.tulip.srom:Srom._tick", "self._ticks < COMMAND_BITS + WORD_BITS", "True"),
    ("tulip", "vmio.devices.net.tulip.mii:Mii._hear", "min(self._ones + 1, PREAMBLE)", "self._ones + 1"),
    # The matrix engine: places on the chip and in memory, indices, jobs that end, a chip that is emptied; commands that the host owns.
    ("accel", "vmio.hardware.accelerator.job:check", "at + length > SRAM_BYTES", "False"),
    ("accel", "vmio.hardware.accelerator.job:do", "except (TranslationFault, MemoryFault)", "except ZeroDivisionError"),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction._fetch", "except (TranslationFault, MemoryFault)", "except ZeroDivisionError"),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction._tell", "except (TranslationFault, MemoryFault)", "except ZeroDivisionError"),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction._doorbell", "if tail >= self.size:", "if False:"),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction.begin", "or job.rows >= self.size", ""),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction._obey", "2 <= self.size <= r.MAX_ENTRIES and", ""),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction.write", "if at + size <= r.SRAM_BYTES:", "if True:"),
    ("accel", "vmio.hardware.accelerator.function:EngineFunction.reset", "self.clear()", "pass"),
    ("accel", "vmio.hardware.accelerator.engine:Engine._done", "self._used[user] > self.limit_ns", "False"),
    ("accel", "vmio.hardware.accelerator.engine:Engine._done", "self.waiting and self.clock.now >= self._slice_ends", "False"),
    ("accel", "vmio.host.accelerator.commands:checked", "if job.op == Op.JUMP:", "if False:"),
    ("accel", "vmio.host.accelerator.commands:checked", "flags=job.flags & ~INTERRUPT", "flags=job.flags"),
    ("accel", "vmio.host.accelerator.commands:runs", "or offset + length > window.size", ""),
    # The 82576: what a virtual function's rings, registers and messages may do to the card, the neighbour and the wire.
    ("nic", "vmio.hardware.nic.transmit:Transmitter._run", "except FAULTS", "except ZeroDivisionError"),
    ("nic", "vmio.hardware.nic.transmit:Transmitter._gather", "len(self._frame) + length <= MOST", "True"),
    ("nic", "vmio.hardware.nic.transmit:Transmitter._finished", "len(frame) < frames.HEADER", "False"),
    ("nic", "vmio.hardware.nic.receive:Receiver.take", "except FAULTS", "except ZeroDivisionError"),
    ("nic", "vmio.hardware.nic.queue:Ring.write", "value &= MASKS[register]", "pass"),
    ("nic", "vmio.hardware.nic.pools:Pools.spoofs", "if guard >> pool & 1 and", "if False and"),
    ("nic", "vmio.hardware.nic.adapter:Adapter82576.virtual_reset", "self._values[r.VFRE] &= ~bit", "self._values[r.VFRE] = 0"),
    ("nic", "vmio.hardware.nic.virtual:VirtualNic._power_on", "self.mailbox.empty()", "pass"),
    ("nic", "vmio.hardware.nic.interrupts:Interrupts.write", "bits = value & self.all", "bits = value"),
    ("nic", "vmio.host.net.igb:Igb._longest", "words[1] > MOST_BYTES", "False"),
    ("nic", "vmio.host.net.igb:Igb._join", "or mine >= len(places) // max(len(self.vfs), 1)", ""),
    # The IOMMU: who may reach what, and what the caches have forgotten.
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper._walk", "entry & access != access", "not entry & 3"),
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper._walk", "address >> min(self.width, 12 + 9 * context.levels)", "False"),
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper._walk", "permissions &= entry", "pass"),
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper._context", "if not context.present:", "if False:"),
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper._context", "if context.reserved:", "if False:"),
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper.translate", "found.permissions & access != access", "False"),
    ("iommu", "vmio.passthrough.iommu.iotlb:Iotlb.lookup", "if address >> _REQUESTER + 12:", "if False:"),
    ("iommu", "vmio.passthrough.iommu.iotlb:Iotlb.invalidate", "for key in gone:", "for key in ():"),
    ("iommu", "vmio.passthrough.iommu.remapper:Remapper.forget_contexts", "self._contexts.clear()", "pass"),
    ("iommu", "vmio.passthrough.iommu.interrupts:InterruptRemapper._entry", "if not mine:", "if False:"),
    ("iommu", "vmio.passthrough.iommu.interrupts:InterruptRemapper._entry", "index >= self.entries", "False"),
    ("iommu", "vmio.passthrough.iommu.invalidation:InvalidationQueue._wait", "except _FAULTS", "except ZeroDivisionError"),
    # Virtual PCI: whose interrupt, whose window, which vCPU.
    ("vpci", "vmio.passthrough.vpci_vsp:VpciVsp._create_interrupt", "max(targets) >= len(self.guest.vcpus)", "False"),
    ("vpci", "vmio.passthrough.vpci_vsp:VpciVsp._enter_d0", "if self.powered:", "if False:"),
    ("vpci", "vmio.passthrough.vpci_vsp:VpciVsp._enter_d0",
     "not self.device.is_free(record.window, v.WINDOW)", "False"),
    ("vpci", "vmio.passthrough.assignment:Assignment.is_free", "gpa >= self.guest.ram and", ""),
    ("vpci", "vmio.passthrough.assignment:Assignment.create_interrupt", "mine + count > self.function.vectors", "False"),
    ("vpci", "vmio.passthrough.delivery:InterruptRouter.delete",
     "self.owners.get(first) != requester or self._messages[first] != (address, data)", "first not in self.owners"),
    ("vpci", "vmio.passthrough.delivery:InterruptRouter.retarget",
     "self.owners.get(index) != requester or self._messages[index] != (address, data)", "index not in self.owners"),
    ("vpci", "vmio.passthrough.retarget:Retargets.__call__", "target >= len(guest.vcpus)", "False"),
    ("vpci", "vmio.passthrough.assignment:Assignment.released", "self.router.delete_all(self.function.requester)", "pass"),
    # Dynamic memory: whose pages, how many, and who waits for them.
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory.packet", "record.type not in DUE[self.state]", "False"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._gives", "if self.asked is not Message.BALLOON:", "if False:"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._gives", "self.got += count", "pass"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._check_given", "guest.check_takeable()", "pass"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._check_given", "sum(size for _, _, size in guest.backing.runs(first * PAGE, count * PAGE)) != count * PAGE", "False"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._check_given", "if given.overlaps(page, 1):", "if False:"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._check_given", "self.got + given.total > self.wanted", "given.total > self.wanted"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._take", "memory.free(spa, 1)", "pass"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._took", "if self.asked is not Message.UNBALLOON:", "if False:"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._added", "self.asked is not Message.HOT_ADD or", ""),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._added", "or record.pages > self.wanted", ""),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._added", "self._take(first, count)", "pass"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._done", 'self.asked, None, ""', "self.asked, None, self.guest.memory_asked"),
    ("balloon", "vmio.vmbus.balloon.dynamic:DynamicMemory._back", "self.ballooned.remove(first, count)", "pass"),
    ("balloon", "vmio.vmbus.bus.worker:RingWorker._room", "0 if self._backlog else", ""),
    ("balloon", "vmio.vmbus.balloon.wire:ranges_of", "len(words) != count", "False"),
    ("balloon", "vmio.machine.pageruns:PageRuns.add", "or self.overlaps(first, count)", ""),
    ("balloon", "vmio.hypervisor.ram:GuestRam.remove", "self.slat.unmap(gpa, length)", "pass"),
    # The door: words that are no numbers, lengths that are no lengths.
    ("qtest", "vmio.oracle.words:number", "0 <= value <= max_value", "True"),
    ("qtest", "vmio.oracle.words:number", "except ValueError", "except ZeroDivisionError"),
    ("qtest", "vmio.oracle.words:length_of", "not 0 < length <= MAX_BYTES", "False"),
    ("qtest", "vmio.oracle.qtest:Door._get", "except TranslationFault", "except ZeroDivisionError"),
    ("qtest", "vmio.oracle.qtest:Door._b64write", "len(raw) != count", "False"),
    ("qtest", "vmio.oracle.qtest:Door._clock_set", "when < clock.now", "False"),
    ("qtest", "vmio.oracle.qtest:Door._write", "raw[:count]", "raw"),
    # All at once: what stays when a guest is reset or ends, and what one surface does to another.
    ("netvsp", "vmio.vmbus.net.vf:VfAssociation.switch", "path == n.VF and self._told", "True"),
    ("netvsp", "vmio.vmbus.net.buffers:lent", "spa != ram_spa(number << 12)", "False"),
    ("netvsp", "vmio.vmbus.net.buffers:lent", "TranslationFault", "ZeroDivisionError"),
    ("netvsp", "vmio.vmbus.net.buffers:SharedBuffer.read", "section < self.sections and", ""),
    ("netvsp", "vmio.vmbus.net.buffers:shared", "gpadl.relid != relid or", ""),
    ("netvsp", "vmio.vmbus.net.netvsp:NetVsp._given_back", "del self.outstanding[number]", "pass"),
    ("netvsp", "vmio.vmbus.net.netvsp:NetVsp._given_back", "by != channel", "False"),
    ("netvsp", "vmio.vmbus.net.netvsp:NetVsp.torn_down", "self.receive_buffer = None", "pass"),
    ("netvsp", "vmio.vmbus.net.netvsp:NetVsp._request", "len(self.waiting) >= MAX_WAITING", "False"),
    ("netvsp", "vmio.vmbus.net.transmit:to_frames", "or len(frame) < frames.HEADER", ""),
    ("netvsp", "vmio.vmbus.net.transmit:to_frames", "any(len(each) > frames.longest(each) for each in made)", "False"),
    ("netvsp", "vmio.vmbus.net.rss:parameters", "max(table) >= channels", "False"),
    ("switch", "vmio.host.net.port:SwitchPort._may_send", "source == self.address", "True"),
    ("switch", "vmio.host.net.port:SwitchPort._may_send", "not frames.is_group(source) and", ""),
    ("switch", "vmio.host.net.vlan:Access.enter", "if tagged is None else None", ""),
    ("switch", "vmio.host.net.vlan:Access.leave", "if vlan == self.vlan else None", ""),
    ("switch", "vmio.host.net.vlan:Trunk.enter", "if headers.untag(inner)[1] is not None", "if False"),
    ("switch", "vmio.host.net.table:MacTable.learn", "count >= self.of_port or", ""),
    ("switch", "vmio.host.net.table:MacTable._forget_old", "del self.entries[first]", "break"),
    ("switch", "vmio.host.net.switch:VirtualSwitch._hand_out", "and source not in self._own", ""),
    ("switch", "vmio.host.net.rules:passes", "return rule.action == ALLOW", "pass"),
    ("switch", "vmio.host.net.pace:Pace.put", "len(self.waiting) >= self.depth", "False"),
    ("machine", "vmio.vmbus.bus.worker:RingWorker._run", "request.end()", "pass"),
    ("machine", "vmio.vmbus.storage.storvsp:StorVsp._begin", "target.power_on()", "pass"),
    ("machine", "vmio.vmbus.bus.server:VmbusServer._disconnect", "or channel.primary is not None", ""),
    ("machine", "vmio.vmbus.bus.server:VmbusServer._reset", "self._resetting = True", "pass"),
    ("machine", "vmio.hypervisor.hyperv.hypercalls:Overlays.release", "self._guest.host.memory.free(spa, 1)", "pass"),
    ("machine", "vmio.vmbus.storage.bounce:BouncePages.release", "self.memory.free(spa, 1)", "pass"),
    ("machine", "vmio.hypervisor.guest:Guest.destroy", "self.slat.free()", "pass"),
    ("machine", "vmio.passthrough.assignment:Assignment.released", "self.router.delete_all(self.function.requester)", "pass"),
    ("machine", "vmio.host.physical:Slice.submit", "self.first + lba", "lba"),
)


@contextmanager
def planted(where, right, wrong):
    """The function at `where` with `right` replaced by `wrong`.  ValueError if `right` does not stand there."""
    module, _, path = where.partition(":")
    function = import_module(module)
    for name in path.split("."):
        function = getattr(function, name)
    source = textwrap.dedent(inspect.getsource(function))
    if right not in source:
        raise ValueError(f"{where} has no {right!r} any more: choose another bug to plant")
    made = {}
    exec(compile(source.replace(right, wrong), f"<{path}, with a bug>", "exec"), function.__globals__, made)
    code, function.__code__ = function.__code__, made[name].__code__     # wherever the function is known already
    try:
        yield
    finally:
        function.__code__ = code
