"""The other way round: a host that attacks its guest.  `python -m vmio attack --hostile host`."""
