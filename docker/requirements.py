"""Print the project's requirements, one on each line, without those that only simulations need."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
needed = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
sys.stdout.write("\n".join(each for each in needed if not each.startswith("ray>=")) + "\n")
