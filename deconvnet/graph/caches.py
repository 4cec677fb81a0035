"""Undo what forward stores in caches while its graph is read: stand-ins, which hold no values.

While a model is read, forward runs on stand-ins for tensors. A forward that fills a cache (a
dictionary of its file, an ``lru_cache``, a helper object) would find them there in a later call.
"""

from __future__ import annotations

import gc
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import _lru_cache_wrapper
from itertools import chain, islice
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor

from .model_state import OWN

STANDINS = (fx.Proxy, FakeTensor, FunctionalTensor, torch.SymInt, torch.SymFloat, torch.SymBool)
OURS = "of_the_check"
"""An attribute of tensors that stand in for a model's own for a while."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), Tensor, torch.dtype, torch.device)
_PLAIN_CODE = (*_PLAIN, type, ModuleType, FunctionType)
_MOST = 20_000  # objects that are looked at, the nearest to the modules first
_LONGEST = 10_000  # values of a container that are looked into
_DEEPEST = 4  # containers inside a new value that are looked into
_LIBRARIES = frozenset(
    {"torch", "torchvision", "numpy", "deconvnet", *sys.stdlib_module_names} - {"__main__"}
)
_INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
_EMPTY = object()  # a cell without contents


@contextmanager
def nothing_kept(model: nn.Module) -> Iterator[None]:
    """On leaving, remove every stand-in that came meanwhile from what the model's code can reach.

    Looked at are the attributes of modules, of their classes and of objects they hold, to any
    depth; the globals that functions name, their closures and defaults; ``lru_cache``s, which are
    emptied; in the model's own packages and in files that are not installed. What stood there
    before a stand-in came is there again; whatever else has changed meanwhile is left. Not seen
    are places that an extension in C keeps to itself, local variables of generators, and what lies
    beyond the nearest 20,000 objects.
    """
    places = list(_reached(model))
    try:
        yield
    finally:
        for place in places:
            place()


def _reached(model: nn.Module) -> Iterator[Callable[[], None]]:
    """For each place that the code of a model can reach, a function that removes stand-ins."""
    registered = set(model.modules())
    packages = {type(module).__module__.partition(".")[0] for module in registered}
    open_, seen = deque[Any](registered), dict[int, Any]()
    while open_ and len(seen) < _MOST:
        value = open_.popleft()
        if id(value) in seen or isinstance(value, (*_PLAIN, ModuleType)):
            continue
        seen[id(value)] = value
        if isinstance(value, _lru_cache_wrapper):
            yield _results(value)
            open_ += [value.__wrapped__, vars(value)]
        elif isinstance(value, CellType):
            yield from _attributes(value, ["cell_contents"])
            open_ += gc.get_referents(value)
        elif isinstance(value, dict):
            yield _entries(value, dict(dict.items(value)))  # a subclass may count who asks
            open_ += islice(dict.values(value), _LONGEST)
        elif isinstance(value, (list, deque, set)):
            yield _items(value, list(value))
            open_ += islice(value, _LONGEST)
        elif isinstance(value, type):
            if _is_own(str(value.__module__), packages):
                yield _entries(vars(value), dict(vars(value)), of=value)
                open_ += [*vars(value).values(), *value.__bases__]
        elif isinstance(value, FunctionType):
            if _is_own(str(value.__module__), packages):
                for names, named in _named(value):
                    yield _entries(names, named, only=True)
                    open_ += named.values()
                open_ += filter(None, (value.__closure__, value.__defaults__))
                open_ += [value.__kwdefaults__, vars(value)]
        elif isinstance(value, (MethodType, tuple, frozenset, staticmethod, classmethod, property)):
            open_ += gc.get_referents(value)
        else:
            if isinstance(value, nn.Module) and value not in registered:
                yield _entries(vars(value), dict(vars(value)))
            open_ += _of_object(value)
            yield from _attributes(value, _slot_names(value))


def _named(function: FunctionType) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The variables of files that a function names, as (all of a file, those of them)."""
    names, codes = set[str](), [function.__code__]
    for code in codes:
        names.update(code.co_names)
        codes += [const for const in code.co_consts if isinstance(const, CodeType)]
    package = f"{function.__globals__.get('__package__') or ''}."
    imported = [sys.modules.get(x) for name in names for x in (name, package + name)]
    held = function.__globals__
    files = [x for x in (*imported, *map(held.get, names)) if isinstance(x, ModuleType)]
    own = [vars(file) for file in files if not _is_library(file.__name__)]
    for one in (held, *own):
        yield one, {name: one.get(name, _EMPTY) for name in names}


def _of_object(value: Any) -> list[Any]:
    """The attributes of an object, as a dictionary, and its class."""
    library = str(type(value).__module__).partition(".")[0] in ("torch", "numpy")
    if library and not isinstance(value, nn.Module):
        return []
    try:
        names = object.__getattribute__(value, "__dict__")
    except AttributeError:
        names = {}
    if isinstance(value, nn.Module):  # ``left_as_it_was`` looks after what torch itself keeps
        names = {name: own for name, own in names.items() if name not in OWN}
        return [*names.values(), type(value)]
    slots = [getattr(value, name, None) for name in _slot_names(value)]
    return [names, type(value), *slots]


def _slot_names(value: Any) -> list[str]:
    slots = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = chain.from_iterable([own] if isinstance(own, str) else own for own in slots)
    return [name for name in names if not name.startswith("__")]


def _is_own(name: str, packages: set[str]) -> bool:
    """Whether code is the model's, or a user's: of its packages, or of no installed one."""
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    own = name.partition(".")[0] in packages or not file.startswith(_INSTALLED)
    return own and not _is_library(name)


def _is_library(name: str) -> bool:
    return name.partition(".")[0] in _LIBRARIES


def _attributes(value: Any, names: Iterable[str]) -> Iterator[Callable[[], None]]:
    """Restore slots of an object, or the variable in a cell that functions share."""

    def content(name: str) -> Any:
        try:
            return getattr(value, name)
        except (AttributeError, ValueError):  # a ValueError of an empty cell
            return _EMPTY

    for name in names:
        before = content(name)

        def restore(name: str = name, before: Any = before) -> None:
            now = content(name)
            if now is not before and _has(now):
                delattr(value, name) if before is _EMPTY else setattr(value, name, before)

        yield restore


def _entries(
    held: Any, before: Mapping[Any, Any], *, of: type | None = None, only: bool = False
) -> Callable[[], None]:
    """Restore entries of a dictionary, all or only those known, or attributes of a class."""

    def restore() -> None:
        keys = [key for key in before if key in held] if only else list(held)
        for key in keys:
            value, was = held.get(key, _EMPTY), before.get(key, _EMPTY)
            if value is was or not (_has(value) or _has(key)):
                continue
            if of is not None:
                delattr(of, key) if was is _EMPTY else setattr(of, key, was)
            elif was is _EMPTY:
                del held[key]
            else:
                held[key] = was

    return restore


def _items(held: Any, before: list[Any]) -> Callable[[], None]:
    """Restore the items of a list, a deque or a set."""

    def restore() -> None:
        known = set(map(id, before))
        if _has_any(x for x in held if id(x) not in known):
            held.clear()
            held.update(before) if isinstance(held, set) else held.extend(before)

    return restore


def _results(cache: Any) -> Callable[[], None]:
    """Empty an ``lru_cache``, which cannot be restored entry by entry."""

    def restore() -> None:
        if _has_any(gc.get_referents(cache)):
            cache.cache_clear()

    return restore


def _has_any(values: Iterable[Any], depth: int = 0) -> bool:
    return any(_has(value, depth) for value in values)


def _has(value: Any, depth: int = 0) -> bool:
    """Whether a value is a stand-in, or holds one."""
    if isinstance(value, STANDINS):
        return True
    if isinstance(value, Tensor):
        return hasattr(value, OURS) or hasattr(value._base, OURS)
    if depth > _DEEPEST or value is _EMPTY or isinstance(value, _PLAIN_CODE):
        return False
    if isinstance(value, Mapping):
        some = islice(value.items(), _LONGEST)
        return any(_has(k, depth + 1) or _has(v, depth + 1) for k, v in some)
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return _has_any(islice(value, _LONGEST), depth + 1)
    names = getattr(value, "__dict__", None)
    slots = [getattr(value, name, None) for name in _slot_names(value)]
    return _has_any([*(names.values() if isinstance(names, dict) else ()), *slots], depth + 1)
