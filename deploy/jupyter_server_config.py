"""A student's own server, on a hub or in a container: the work folder, and kernels that end when nobody uses them.

It runs as the student.  A hub, an image and Binder find it by JUPYTER_CONFIG_PATH.
"""

import os
import sys

COURSE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if COURSE not in sys.path:
    sys.path.insert(0, COURSE)

from labkit import Refusal, classroom  # noqa: E402

c = get_config()  # noqa: F821 - the server's loader knows it

try:
    c.ServerApp.root_dir = classroom.begin(COURSE, os.path.expanduser("~"), os.environ)
except Refusal as refusal:
    sys.exit("vmio: %s" % refusal)

# An open notebook keeps its kernel, 80 to 180 MiB: what has been idle for half an hour goes, if no page shows it.
c.MappingKernelManager.cull_idle_timeout = 1800
c.MappingKernelManager.cull_interval = 300
c.MappingKernelManager.cull_connected = False
