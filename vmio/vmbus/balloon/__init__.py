"""Dynamic memory on VMBus: the host takes pages from a guest and gives them back while it runs, and adds more than it began with.

    wire        how the messages lie in bytes
    dynamic     the host's half;  checkpoint  it as plain data and back
"""
