"""How a guest driver says that its device failed."""


class DriverError(Exception):
    """The device answered with an error, or the driver was asked for what it can't do."""


class DriverTimeout(DriverError):
    """The device did not answer in time (virtual time), or is not there at all."""
