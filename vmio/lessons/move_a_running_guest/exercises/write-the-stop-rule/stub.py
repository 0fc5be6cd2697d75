def decide(dirty, limit):
    """Return "stop", "go on" or "give up".

    `dirty` has the pages that were dirty after each round so far, `limit` those that fit into the limit.
    """
    ...
