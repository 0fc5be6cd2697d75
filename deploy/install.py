"""`sudo python3 deploy/install.py /opt/vmio`: a class's server, the course in it once, for all to read."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from labkit import Refusal, classroom, work  # noqa: E402

if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: sudo python3 deploy/install.py FOLDER    (a new one, such as /opt/vmio)")
    try:
        work.say("start the hub with: %s" % classroom.install(ROOT, sys.argv[1]))
    except Refusal as refusal:
        sys.exit("install.py: %s" % refusal)
    except OSError as error:
        sys.exit("install.py: %s" % error)
