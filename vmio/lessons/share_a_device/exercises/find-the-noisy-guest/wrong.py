def culprit(services):
    """Blames whoever has most requests: many small ones may be the victim."""
    return max(services, key=lambda name: services[name]["requests"])
