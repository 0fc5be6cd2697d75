"""Many hosts at once: which guest goes where, what becomes of a host that must be emptied, and a day of load.

No guest runs here.  A host is five numbers, and how long its guests' requests take is a curve that was fitted to real runs of the
byte-accurate machine (`calibrate.py`, `service.py`); the errors of that curve are shown with whatever comes of it.

What is left out: all resources of a host but memory, two cores and the disks of its guests - so networks and the programs' own work - ; any
wait of one host for another; how times are spread about their mean; what a migration costs its two hosts beside the link; guests that
come and go during the day; and a broken host: guests are moved while theirs still works.
"""
