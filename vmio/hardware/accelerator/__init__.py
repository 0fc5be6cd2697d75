"""A matrix engine that can be read in an evening: descriptors, 64 KiB of on-chip memory, int8 products summed in int32, virtual functions."""
