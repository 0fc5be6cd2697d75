"""Closed loops: a host that observes, decides and acts while its guests run."""
