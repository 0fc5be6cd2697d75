"""What lab.py is made of: the private Python in .venv, pip in it, its environment, its processes.

lab.py imports this before any package is installed, and old Pythons must be able
to read it: the standard library only, no f-strings.
"""


class Refusal(Exception):
    """What the user must change, in one or two sentences."""
    status = 2


class NotDone(Refusal):
    """Why the set-up stopped, and the cure."""
    status = 1
