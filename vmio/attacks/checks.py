"""Which function of the host is the wall in an attack's way, and in which file it stands: there one reads how a guest is kept out.

Tests run every attack: it must come there, more often than a guest at rest.
"""

from typing import NamedTuple

_TRANSLATE = "machine.pagetable:PageTable.translate"
_DMA = "passthrough.iommu.remapper:Remapper.translate"
_GIVEN = "hypervisor.given:GivenPages.check"
CHECKS = {      # attack: module of vmio, function
    "ram-read-past-the-end": _TRANSLATE,
    "ram-write-past-the-end": _TRANSLATE,
    "edge-read": "machine.pagetable:PageTable.spans",
    "edge-write": "machine.pagetable:PageTable.spans",
    "hypercall-page-overwritten": _TRANSLATE,
    "ring-index-outside": "vmbus.bus.ring:RingReader._set_write",
    "ring-record-too-long": "vmbus.bus.ring:RingReader.receive",
    "ring-offset-outside": "vmbus.bus.ring:RingReader.receive",
    "ring-range-count": "vmbus.bus.packets:parse_ranges",
    "ring-double-fetch": "vmbus.bus.ring:RingReader.receive",
    "ring-unread": "vmbus.bus.worker:RingWorker._room",
    "ring-hosts-index": "vmbus.bus.ring:RingWriter.write",
    "completion-forged": "vmbus.storage.storvsp:StorVsp.packet",
    "gpadl-foreign-pages": "vmbus.bus.gpadl:GpadlTable.check",
    "gpadl-hypercall-page": "vmbus.bus.gpadl:GpadlTable.check",
    "gpadl-missing-range": "vmbus.bus.gpadl:GpadlTable._ranges",
    "gpadl-hoard": "vmbus.bus.gpadl:GpadlTable.header",
    "monitor-foreign-page": "vmbus.bus.monitor:MonitorPages.accepts",
    "flood-of-messages": "hypervisor.hyperv.hypercalls:Enlightenments._post_message",
    "flood-of-signals": "vmbus.bus.host_channel:HostChannel._signalled",
    "flood-of-requests": "host.drr:DeficitRoundRobin.next",
    "flood-of-commands": "hardware.nvme.arbiter:Lane.start",
    "flood-of-work": "hypervisor.cores:Cores.slice",
    "scsi-read-past-the-end": "vmbus.storage.scsi:ScsiTarget._media",
    "scsi-write-past-the-end": "vmbus.storage.scsi:ScsiTarget._media",
    "scsi-short-answer": "vmbus.storage.srb:Srb._over",
    "scsi-buffer-too-small": "vmbus.storage.srb:Srb._room_for",
    "scsi-into-foreign-page": "vmbus.storage.srb:Srb._pages",
    "scsi-from-foreign-page": "vmbus.storage.srb:Srb._pages",
    "scsi-into-foreign-ring": "vmbus.storage.srb:Srb._pages",
    "ata-prd-into-neighbour": _TRANSLATE,
    "ata-prd-from-neighbour": _TRANSLATE,
    "ata-prd-endless": "devices.ata.bmide:Engine._walk",
    "ata-past-the-end": "devices.ata.disk:AtaDisk.in_range",
    "dma-into-neighbour": _DMA,
    "dma-from-neighbour": _DMA,
    "dma-into-the-tables": _DMA,
    "dma-stale-mapping": "passthrough.strategies:Strict.unmap",
    "dma-list-in-a-circle": "hardware.nvme.sgl:segments",
    "msi-any-vector": "passthrough.iommu.interrupts:InterruptRemapper.message",
    "msi-foreign-entry": "passthrough.iommu.interrupts:InterruptRemapper._entry",
    "msi-neighbours-entry": "passthrough.iommu.interrupts:InterruptRemapper._entry",
    "msi-beyond-the-table": "passthrough.iommu.interrupts:InterruptRemapper._entry",
    "interrupts-hoard": "passthrough.delivery:InterruptRouter._room",
    "handover-disk": "passthrough.assignment:assign",
    "handover-memory": "machine.memory:HostMemory.free",
    "handover-in-flight": "vmbus.storage.storvsp:StorVsp._destroyed",
    "handover-removed-lun": "vmbus.storage.srb:Srb.execute",
    "handover-device-at-work": "passthrough.assignment:Assignment._guest_ends",
    "port-read-foreign-disk": "machine.bus:Bus.find",
    "port-write-foreign-disk": "machine.bus:Bus.find",
    "port-reset-foreign-disk": "machine.bus:Bus.find",
    "mmio-disable-foreign-device": "hypervisor.direct:_is_direct",
    "frame-from-the-neighbour": "host.net.port:SwitchPort._may_send",
    "frame-poisons-the-table": "host.net.port:SwitchPort._may_send",
    "frame-hops-the-vlan": "host.net.vlan:Access.enter",
    "frame-floods-the-table": "host.net.table:MacTable.learn",
    "frame-mirror-without-right": "vmbus.net.control:Control._change",
    "netcard-section-outside": "vmbus.net.buffers:SharedBuffer.read",
    "netcard-length-beyond": "vmbus.net.transmit:to_frames",
    "netcard-length-overflows": "vmbus.net.transmit:to_frames",
    "netcard-foreign-page": "vmbus.net.buffers:lent",
    "netcard-foreign-buffer": "vmbus.bus.gpadl:GpadlTable.check",
    "netcard-stale-completion": "vmbus.net.netvsp:NetVsp._given_back",
    "tulip-sends-foreign-ram": _TRANSLATE,
    "tulip-receives-into-foreign-ram": _TRANSLATE,
    "tulip-list-without-end": "devices.net.tulip.transmit:Transmitter._walk",
    "vf-in-the-neighbours-name": "hardware.nic.pools:Pools.spoofs",
    "vf-floods-the-mailbox": "host.net.igb:Igb._work",
    "vf-holds-the-mailbox": "host.net.igb:Igb._message",
    "engine-leftovers": "hardware.accelerator.function:EngineFunction.clear",
    "engine-endless-job": "hardware.accelerator.engine:Engine._done",
    "engine-dma-outside": _DMA,
    "engine-tail-beyond": "hardware.accelerator.function:EngineFunction._doorbell",
    "engine-command-beyond": "host.accelerator.commands:runs",
    "engine-command-changed": "vmbus.accelerator.vsp:AcceleratorVsp._copied",
    "engine-next-turn": "host.accelerator.service:AcceleratorService._switch",
    "balloon-page-kept": _TRANSLATE,
    "balloon-page-of-another": _GIVEN,
    "balloon-page-twice": _GIVEN,
    "balloon-page-in-use": _GIVEN,
    "balancer-lie": "manage.memory:Limits.target",
    "balancer-silence": "manage.memory:Balancer.step",
    "socket-size-lies": "vmbus.socket.stream:SocketStream.data",
    "socket-end-flood": "vmbus.socket.stream:SocketStream.data",
    "socket-connect-flood": "vmbus.socket.service:SocketService._asked",
    "bridge-size-zero": "vmbus.gcs.messages:MessageReader.feed",
    "bridge-json-bomb": "vmbus.gcs.messages:_measure",
    "bridge-answers-twice": "host.gcs.bridge:Bridge._take",
}


class Check(NamedTuple):
    """A `function`, with its class if it has one, and its `file`, from the folder that holds the package."""

    function: str
    file: str

    @property
    def module(self) -> str:
        """The name to import it by."""
        return self.file.removesuffix(".py").replace("/", ".")


def check(id: str) -> Check:
    """Return where the wall in an attack's way stands; ValueError for an attack of which nobody has said it."""
    if id not in CHECKS:
        raise ValueError(f"attack {id!r}: CHECKS in vmio/attacks/checks.py must say which function is the wall in its way")
    module, _, function = CHECKS[id].partition(":")
    return Check(function, f"vmio/{module.replace('.', '/')}.py")
