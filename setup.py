"""Which files an installation has beside the package's own: what a checkout keeps at its top level, `vmio/data.py` finds here.

An extension of JupyterLab goes where Jupyter looks for such.  All else about the package is in pyproject.toml; this map only can be said in Python.
"""

from setuptools import find_packages, setup

EXTENSION = "vmio/lab/jupyter/labextensions/vmio"    # JupyterLab and Notebook 7 look for it in share/jupyter

setup(data_files=[("share/jupyter/labextensions/vmio", [f"{EXTENSION}/package.json"]),
                  ("share/jupyter/labextensions/vmio/static", [f"{EXTENSION}/static/stored_panel.js"])],
      packages=find_packages(include=["vmio", "vmio.*"]) + ["vmio.files.data"],
      package_dir={"vmio.files.data": "data"})
