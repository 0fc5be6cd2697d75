def culprit(services):
    """The name of the guest that starves the others; `services` {name: {"requests", "bytes", "waiting_ns", "device_ns"}}."""
    return max(services, key=lambda name: services[name]["bytes"])
