#!/usr/bin/env python3
"""Print the requirements of one extra of the project: `requirements.py edge`.

The libraries are installed before the sources are copied, so that a changed line of ours does not install them anew.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extra = project["optional-dependencies"][sys.argv[1]]
sys.stdout.write("\n".join([*project["dependencies"], *extra]) + "\n")
