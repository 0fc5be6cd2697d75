"""A recorded conversation of a real front end, said once more to our back end: equal, or where it differs.

    recording.py    the lines of a recording, and the bytes of its messages
    front.py        a front end for one: it sends, shares memory, and drives rings with our own drivers' halves
    compare.py      what was answered then, and what is answered now
"""
