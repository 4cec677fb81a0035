"""Call a factory: a function in a Python file or module that returns a model or a data set."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deconvnet.arguments import expanded

FORMS = "path/to/file.py:factory or package.module:factory"


def made_by(place: str, name: str) -> Any:
    """Call a function, without arguments, of a Python file (``.py``) or of a module.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no such module or function, or it failed.
    """
    try:
        module = _file_module(Path(expanded(place))) if place.endswith(".py") else _module(place)
    except FileNotFoundError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        raise ValueError(
            f"{place!r} cannot be imported, {type(error).__name__}: {error}{_hint(place, error)}"
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        functions = [n for n in vars(module) if callable(getattr(module, n)) and n[0] != "_"]
        raise ValueError(f"{place!r} has no function {name!r}; it has {', '.join(functions[:8])}")
    try:
        return factory()
    except Exception as error:  # somebody else's code may raise anything
        raise ValueError(
            f"{place}:{name}() failed, {type(error).__name__}: {error}; it is called without "
            "arguments"
        ) from error


class FileModules:
    """The files that factories came from; unpickling this imports them in a new process.

    Objects of their classes can so be handed to a new process, however it is started: pickle
    writes of a class only the name of its module.
    """

    def __reduce__(self) -> tuple[Callable[..., FileModules], tuple[tuple[tuple[str, str], ...]]]:
        return _imported, (tuple((module.name, file) for file, module in _FILES.items()),)


class _FileModule(NamedTuple):
    name: str
    state: tuple[int, int]  # time of modification and size


_FILES: dict[str, _FileModule] = {}
"""{real path: name and state of its module} of every file that a factory came from."""


def _imported(files: Sequence[tuple[str, str]]) -> FileModules:
    for name, file in files:
        if file not in _FILES:
            _import_file(Path(file), name)
    return FileModules()


def _hint(place: str, error: Exception) -> str:
    """Advice for a module that cannot be imported."""
    if not place.endswith(".py"):
        return f"; write {FORMS}" if isinstance(error, ModuleNotFoundError) else ""
    if "relative import" in str(error):
        return "; a file of a package is given as package.module:factory, from the folder above it"
    missing = isinstance(error, ModuleNotFoundError)
    return "; install that module, or put it beside the file" if missing else ""


def _module(name: str) -> Any:
    """Import a module by its dotted name, also from the current folder, as ``python -m`` does."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # for good: new processes import it too
    return importlib.import_module(name)


def _file_module(path: Path) -> Any:
    """Import a file as a module, once until the file changes."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    path = path.resolve()
    known, imported = _FILES.get(str(path)), sys.modules.get(path.stem)
    if known is None and getattr(imported, "__file__", None) == str(path):
        return imported  # by an ordinary import of the user's
    if known is not None and known.state == _state(path):
        return sys.modules[known.name]
    return _import_file(path, known.name if known is not None else _free_name(path))


def _import_file(path: Path, name: str) -> Any:
    """Run a file as a module of this name, with its folder importable as for a script."""
    _check_siblings(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None, "a file that ends in .py has a loader"
    module, state, folder = importlib.util.module_from_spec(spec), _state(path), str(path.parent)
    before = sys.modules.get(name)
    sys.modules[name] = module
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    finally:
        sys.path.remove(folder)
    if folder not in sys.path:
        sys.path.append(folder)  # for what its functions import when they are called
    _FILES[str(path)] = _FileModule(name, state)
    return module


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _free_name(path: Path) -> str:
    """The file's own name, with a suffix if another module has that name already."""
    try:
        other = importlib.util.find_spec(path.stem)
        taken = other is not None and other.origin != str(path)
    except (ImportError, ValueError):  # a dot in it
        taken = True
    own = f"{path.stem.replace('.', '_')}_{hashlib.sha256(bytes(path)).hexdigest()[:8]}"
    return own if taken else path.stem


def _check_siblings(path: Path) -> None:
    """Check that imports of files beside this one would not resolve to modules imported already."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        for name in {name.partition(".")[0] for name in names}:
            other = getattr(sys.modules.get(name), "__file__", None)
            both = (path.parent / f"{name}.py", path.parent / name / "__init__.py")
            beside = [file for file in both if file.is_file()]
            if beside and other and not any(file.samefile(other) for file in beside):
                raise ImportError(
                    f"it imports {name!r}, which lies beside it, but {other!r} has been imported "
                    "under that name already; rename one of them"
                )
