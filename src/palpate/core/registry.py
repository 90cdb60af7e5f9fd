"""Registries: what people extend is an entry in one of these dictionaries, and an outside package adds its own through one entry point.

A registry fills itself when it is first read: every module of its home package is imported, so a new file there registers what it holds, and then
the plug-ins that installed packages name in the entry-point group `palpate.plugins`. Nothing is imported before. A registry knows no plug-in by name.

A plug-in is a module (or package) that registers things when it is imported. So that `palpate --help` stays light, an entry may be a reference
"package.module:attribute", which is imported when the entry is asked for.
"""

import dataclasses
import difflib
import importlib
import importlib.metadata
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from palpate.core.errors import InputError

GROUP = "palpate.plugins"
"""The entry-point group in which packages name their plug-ins."""

INTERFACE = 1
"""The plug-in interface of this version. A plug-in states the one it was written for as `palpate_interface = 1`; 1 when it states none."""

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One registered thing.

    Attributes:
        name: how users write it.   value: the thing, or a reference "package.module:attribute" to it.
        package: the distribution or top-level package that it comes from.   builtin: whether it is of the registry's home package.
    """

    name: str
    value: Any
    package: str
    builtin: bool


class Registry(Mapping[str, T], Generic[T]):
    """A dictionary from names to registered things of one kind.

    Args:
        kind: what it holds, in the singular, for messages: "attack".
        home: the package whose modules register the built-in entries; None where all entries come from plug-ins.

    >>> shapes = Registry("shape")
    >>> @shapes.register("circle")
    ... class Circle: ...
    >>> shapes["circle"] is Circle
    True
    >>> shapes["cirle"]
    Traceback (most recent call last):
    palpate.core.errors.InputError: shape must be one of 'circle', given 'cirle'; did you mean 'circle'?
    """

    def __init__(self, kind: str, home: str | None = None) -> None:
        self.kind, self.home = kind, home
        self._entries: dict[str, Entry] = {}
        self._filled = home is None
        _ALL.append(self)

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters a class or function under `name`, as `add` does."""

        def enter(value: T) -> T:
            self.add(name, value)
            return value

        return enter

    def add(self, name: str, value: T | str) -> None:
        """Enter `value`, or a reference "package.module:attribute" to it, under `name`.

        A plug-in may be read before the home package is. Then a built-in entry takes back its name, with a warning.

        Raises:
            InputError: the name is taken.
        """
        module = _caller()
        builtin = self.home is not None and f"{module}.".startswith(f"{self.home}.")
        package = _loading[-1] if _loading and not builtin else module.split(".")[0]
        taken = self._entries.get(name)
        if taken and (taken.builtin or not builtin):
            by = f"is registered already by {taken.package}; choose another name"
            raise InputError(f"{self.kind} {name!r} of {package} {by}")
        if taken:
            lost = f"{self.kind} {name!r} of {taken.package} was left out"
            warnings.warn(f"{lost}: palpate has one of that name", stacklevel=3)
        self._entries[name] = Entry(name, value, package, builtin)

    def entries(self) -> list[Entry]:
        """All entries, those of palpate first, with the package that each comes from."""
        self._fill()
        return sorted(self._entries.values(), key=lambda entry: entry.package != "palpate")

    def __getitem__(self, name: str) -> T:
        if name not in self:
            near = difflib.get_close_matches(str(name), self._entries, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            known = ", ".join(map(repr, self._entries)) or "(none is registered)"
            raise InputError(f"{self.kind} must be one of {known}, given {name!r}{hint}")
        value = self._entries[name].value
        if isinstance(value, str):
            module, _, attribute = value.partition(":")
            value = getattr(importlib.import_module(module), attribute)
        return value

    def __contains__(self, name: object) -> bool:
        self._fill()
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._fill()
        return iter(self._entries)

    def __len__(self) -> int:
        self._fill()
        return len(self._entries)

    def _fill(self) -> None:
        if not self._filled:
            self._filled = True
            package = importlib.import_module(self.home or "")
            for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
        load_plugins()


_ALL: list[Registry[Any]] = []
_loading: list[str] = []  # the distribution whose plug-in is being imported
_plugins_loaded = False


def load_plugins() -> None:
    """Import every plug-in of the entry-point group once; one that cannot be used is named in a warning and does not stop the rest."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for point in importlib.metadata.entry_points(group=GROUP):
        package = point.dist.name if point.dist else point.value.split(".")[0]
        before = [set(registry._entries) for registry in _ALL]
        _loading.append(package)
        try:
            if (needed := getattr(point.load(), "palpate_interface", 1)) > INTERFACE:
                has = f"and this palpate has {INTERFACE}; update palpate"
                raise InputError(f"it needs plug-in interface {needed}, {has}")
        except Exception as error:
            for registry, names in zip(_ALL, before, strict=False):
                entries = registry._entries.items()
                registry._entries = {name: entry for name, entry in entries if name in names or entry.builtin}
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            warnings.warn(f"plug-in {point.name!r} of {package} was left out: {reason}", stacklevel=2)
        finally:
            _loading.pop()


def registries() -> list[Registry[Any]]:
    """Every registry, in the order in which palpate's documentation names them."""
    return list(_OWN)


def _caller() -> str:
    """The module that registers: the first outside this one."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return frame.f_globals.get("__name__", "?")


TASKS: Registry[Any] = Registry("task", "palpate.data.readers")
"""Labelled images by name: `palpate.data.tasks.Task`."""

IMAGE_FILTERS: Registry[Callable[..., Any]] = Registry("image filter")
"""Filters applied once, when an image is decoded: from uint8 (H, W) or (H, W, C) to the same."""

MODEL_SOURCES: Registry[Any] = Registry("model source", "palpate.models.sources")
"""Where networks come from."""

RECIPES: Registry[dict[str, Any]] = Registry("training preset")
"""Settings of a `TrainSpec` by name."""

ATTACKS: Registry[Any] = Registry("attack", "palpate.attacks")
"""Specifications of attacks, each with its own settings and its own `run`."""

CORRUPTIONS: Registry[Any] = Registry("corruption", "palpate.corruptions")
"""Functions (images, severity, generator) → images."""

VERDICTS: Registry[Any] = Registry("check", "palpate.verdicts")
"""Checks of whether an attack's result can be trusted."""

EXPLAINERS: Registry[Any] = Registry("explainer", "palpate.explainers")
"""Functions from a model and images to maps."""

SECTIONS: Registry[Any] = Registry("report section", "palpate.report.sections")
"""Parts of the report, in the order of their rank."""

COMMANDS: Registry[Callable[..., Any]] = Registry("command", "palpate.cli")
"""Commands of `palpate`."""

_OWN = tuple(_ALL)
