"""What ends a guest."""


class GuestFault(Exception):
    """The guest did something that a real processor would stop it for (a stuck interrupt, #GP)."""


class GuestTimeout(GuestFault):
    """A guest's program used more virtual time than it was given."""
