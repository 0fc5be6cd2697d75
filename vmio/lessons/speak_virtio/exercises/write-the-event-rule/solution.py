def need_event(event, new, old):
    """Return whether the step from `old` to `new` passes `event`."""
    return (event - old) & 0xFFFF < (new - old) & 0xFFFF
