"""The Littlest JupyterHub (tljh.jupyter.org): put this file's setting into its hub.

    sudo git clone ADDRESS-OF-THIS-COURSE /opt/vmio
    sudo /opt/tljh/user/bin/python -m pip install -r /opt/vmio/requirements.txt
    sudo ln -s /opt/vmio/deploy/tljh.py /opt/tljh/config/jupyterhub_config.d/vmio.py
    sudo tljh-config set limits.memory 1G
    sudo tljh-config set limits.cpu 2
    sudo tljh-config set services.cull.timeout 3600
    sudo tljh-config reload hub

TLJH makes an account and a home at each student's first login, limits memory and cores by systemd's control groups, and culls.
"""

import os
import sys

COURSE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, COURSE)

from labkit import classroom  # noqa: E402

c = get_config()  # noqa: F821 - the hub's loader knows it

c.Spawner.environment = dict(classroom.setting(COURSE, own_numbers=True, progress=False), PYTHONPATH=COURSE)
c.Spawner.default_url = "/lab/tree/00_start_here.ipynb"
