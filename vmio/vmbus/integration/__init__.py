"""Hyper-V's integration services: what a host asks of the operating system in its guest, a small channel for each.

    wire        how their messages lie in bytes
    service     what they share: versions are agreed on, then one request at a time
    shutdown    switch yourself off;  heartbeat  are you alive;  timesync  what time it is;  kvp  keys and values
    checkpoint  a service that is saved, and goes on elsewhere

In Linux their other half is the module hv_utils.
"""
