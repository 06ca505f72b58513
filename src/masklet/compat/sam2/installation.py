"""Installation of the replacement under the name `sam2`, for programs whose imports are not changed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from masklet.errors import StateError

REPLACED = "sam2"
_REPLACEMENT = __name__.rpartition(".")[0]


class _Finder(MetaPathFinder, Loader):
    """Finds `sam2` and its modules in this package. Both names then mean one module object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        replacement = f"{_REPLACEMENT}.{rest}" if rest else _REPLACEMENT
        if package != REPLACED or find_spec(replacement) is None:
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None  # a temporary module, which `exec_module` replaces

    def exec_module(self, module: ModuleType) -> None:
        rest = module.__name__.partition(".")[2]
        sys.modules[module.__name__] = import_module(f"{_REPLACEMENT}.{rest}" if rest else _REPLACEMENT)


def install() -> None:
    """Make `import sam2`, and the imports of its modules, give this package, without Hydra.

    A second call has no effect. An installed package `sam2` is not touched: this process does not see it.

    Raises:
        StateError: `bad-usage`. The package `sam2` has been imported already.

    Example:
        >>> masklet.compat.sam2.install()
        >>> from sam2.build_sam import build_sam2
    """
    loaded: Any = sys.modules.get(REPLACED)
    if loaded is not None and loaded is not sys.modules[_REPLACEMENT]:
        where = getattr(loaded, "__file__", None) or "an unknown place"
        message = f"the package {REPLACED} is already imported, from {where}; call install() before that import"
        raise StateError("bad-usage", message)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
