"""A device that proves to a guest what state it is in: TDISP, the TEE device interface security protocol."""
