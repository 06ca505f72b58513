"""Print the oldest version of each dependency that pyproject.toml allows, as constraints for pip.

Only the dependencies of the base installation have oldest versions that are tested. Of torch there is one version.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOWER_BOUND = re.compile(r"([\w-]+)>=([\w.]+)")


def list_oldest(pyproject: str) -> list[str]:
    """Return a constraint such as `av==17.1` for each dependency. Raises `ValueError` for one without a lower bound."""
    found = []
    for dependency in tomllib.loads(pyproject)["project"]["dependencies"]:
        bound = LOWER_BOUND.fullmatch(dependency)
        if not bound:
            raise ValueError(f"the dependency {dependency} is not of the form NAME>=VERSION")
        found.append(f"{bound[1]}=={bound[2]}")
    return found


if __name__ == "__main__":
    print(*list_oldest(Path("pyproject.toml").read_text("utf-8")), sep="\n")
