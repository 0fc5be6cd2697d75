def need_event(event, new, old):
    """Compares numbers as if they never wrapped: right until the index comes to 65,536."""
    return old <= event < new
