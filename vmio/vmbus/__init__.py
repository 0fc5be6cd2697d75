"""VMBus: the wire between a guest's half of a driver and the host's half.

`wire` declares layouts; `messages` (control), `packets` (ring records) and the
protocols of single devices use it.  `ring` moves bytes through shared memory,
`channel` puts two rings back to back.  A guest's driver imports declarations and
rings from here, never the host's side; the host's side never imports drivers.

Microsoft has published no specification of VMBus.  What is declared here can be
checked against Linux (include/linux/hyperv.h, drivers/hv) and against OpenVMM
(vm/devices/vmbus), Microsoft's own open-source host.
"""
