"""The oldest versions that pyproject.toml allows of what users install, as constraints for pip."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
# TensorBoard imports pkg_resources before 2.21, which setuptools has until 81.
INSTALLED = ["setuptools<81", *PROJECT["dependencies"], *PROJECT["optional-dependencies"]["tensorboard"]]

sys.stdout.writelines(needed.replace(">=", "==") + "\n" for needed in INSTALLED)
