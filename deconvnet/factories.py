"""What a function of a Python file or module returns: models and data sets by a word."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deconvnet.paths import expanded

FORMS = "path/to/file.py:factory or package.module:factory"


def made_by(place: str, name: str) -> Any:
    """Call a factory, without arguments.

    Args:
        place: a Python file, told by its ending, or a module by its dotted name.
        name: the function in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such module or function, or it failed.
    """
    factory = _factory(place, name)
    try:
        return factory()
    except Exception as error:  # somebody else's code may raise anything
        raise ValueError(
            f"{place}:{name}() failed, {type(error).__name__}: {error}; it is called without "
            "arguments"
        ) from error


def _factory(place: str, name: str) -> Callable[[], Any]:
    try:
        module = _file_module(Path(expanded(place))) if place.endswith(".py") else _module(place)
    except FileNotFoundError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        raise ValueError(
            f"{place!r} cannot be imported, {type(error).__name__}: {error}; write {FORMS}"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        functions = [n for n in vars(module) if callable(getattr(module, n)) and n[0] != "_"]
        raise ValueError(f"{place!r} has no function {name!r}; it has {', '.join(functions[:8])}")
    made: Callable[[], Any] = found
    return made


def _module(name: str) -> Any:
    """A module by its dotted name, one in the current folder too, as with ``python -m``."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        return importlib.import_module(name)
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _file_module(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
