"""Closed loops on the watched host: each observes by the monitor alone, decides, and acts by one method of the host, while all guests run."""
