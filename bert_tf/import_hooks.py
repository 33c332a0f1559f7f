"""ImportHook: does more when a library is imported than its own code does."""

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

# Function(execute, module): calls `execute()`, which executes the module's
# code, and does what else is to be done.
Load = Callable[[Callable[[], None], ModuleType], None]


class ImportHook:
    """An import hook around one module. It finds nothing itself.

    It is removed after the module is loaded; if that fails, it stays for the
    next attempt.

    Args:
        name: of the module.
        load: see `Load`.
    """

    def __init__(self, name: str, load: Load):
        self.name = name
        self.load = load

    def install(self) -> None:
        """Puts the hook in force, unless the module has one already."""
        hooks = [f for f in sys.meta_path if isinstance(f, ImportHook)]
        if all(hook.name != self.name for hook in hooks):
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Takes the hook out of force, if it is in force."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: Any = None
    ) -> Any:
        """The module's spec, whose loader calls `load`; see `sys.meta_path`."""
        if name != self.name:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        specs = (
            finder.find_spec(name, path, target)
            for finder in others
            if hasattr(finder, "find_spec")  # `import` skips others, too.
        )
        spec = next(filter(None, specs), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                # The loader is the library's own again, whatever comes of it.
                loader.exec_module = execute
                self.load(lambda: execute(module), module)
                self.remove()

            loader.exec_module = exec_module
        return spec
