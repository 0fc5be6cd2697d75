"""Which files an installation has beside the package's own: what a checkout keeps at its top level, `vmio/data.py` finds here.

All else about the package is in pyproject.toml; this map only can be said in Python.
"""

from setuptools import find_packages, setup

setup(packages=find_packages(include=["vmio", "vmio.*"]) + ["vmio.files.data"], package_dir={"vmio.files.data": "data"})
