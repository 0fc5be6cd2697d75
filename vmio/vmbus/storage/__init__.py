"""A disk on VMBus: the storage protocol, SCSI, and StorVSP, the host's half of the driver."""
