"""Which mirrored layer stands for a call: a user's own mirrors first, then the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .base import MirroredLayer
from .readers import Reader
from .table import TABLE


class MirrorError(Exception):
    """A user's own mirror does not do what the contract says."""


class Mirrors:
    """Looks up the reader of a call.

    Args:
        own: {module class or function: a ``MirroredLayer`` subclass, or a reader}, see
            ``layers/README.md``; its lines come before those of the table.

    Raises:
        TypeError: a key is neither, or a value is neither.
    """

    def __init__(self, own: Mapping[Any, Any] | None = None) -> None:
        if own is not None and not isinstance(own, Mapping):
            raise TypeError(f"mirrors was {own!r}; give {{module class or function: mirror}}")
        self.own = {key: _reader(key, value) for key, value in (own or {}).items()}
        self.named = dict(own or {})

    @property
    def functions(self) -> list[FunctionType]:
        """The functions written in Python that are to be one node each."""
        return [key for key in self.own if isinstance(key, FunctionType)]

    def of_module(self, module: nn.Module) -> Reader | None:
        """The reader for calls of a module, also of a subclass that does not run otherwise."""
        key = self._key(module)
        return None if key is None else self.own.get(key) or TABLE[key]

    def of_call(self, target: Any) -> Reader | None:
        """The reader for calls of a function, or of a tensor's method by its name."""
        return self.own.get(target) or TABLE.get(target)

    def is_own(self, module: nn.Module | None, target: Any = None) -> bool:
        """Whether a mirror of the user's stands for a module, or for a function without one."""
        return (target if module is None else self._key(module)) in self.own

    def is_read_as(self, module: nn.Module, kind: type) -> bool:
        """Whether calls of a module are read by the line of this class."""
        return self._key(module) is kind

    def whole(self, module: nn.Module) -> bool:
        """Whether a module outside of ``torch.nn`` is one node of the graph."""
        key = self._key(module)
        return key in self.own or (key is not None and not key.__module__.startswith("torch.nn"))

    def _key(self, module: nn.Module) -> Any:
        if "forward" in vars(module):  # one of its own
            return None
        for base in type(module).__mro__:
            known = base in self.own or base in TABLE
            if known and type(module).forward is getattr(base, "forward", None):
                return base
        return None

    def refuse_unmatched(self, model: nn.Module) -> None:
        """See that each class with a mirror of its own is one of the model's.

        Raises:
            ValueError: a class is not, so that its mirror would be ignored.
        """
        matched = {self._key(module) for module in model.modules()}
        for key in self.own:
            if isinstance(key, type) and key not in matched:
                below = {type(m).__name__ for m in model.modules() if isinstance(m, key)}
                near = f"; {', '.join(sorted(below))} has a forward of its own" if below else ""
                raise ValueError(
                    f"mirrors has a line for {key.__name__}, but {type(model).__name__} has no "
                    f"such module{near}; name the class whose forward runs, or leave the line out"
                )

    def refuse_uncalled(self, called: set[Any], reader: str) -> None:
        """See that each function with a mirror of its own is called.

        Args:
            called: what the nodes of a graph call.
            reader: "torch.fx" or "torch.export", which has read it.

        Raises:
            ValueError: one is not, so that its mirror would be ignored.
        """
        for key in self.own:
            if not isinstance(key, type) and key not in called:
                raise ValueError(
                    f"mirrors has a line for {getattr(key, '__name__', key)}, but no node calls it "
                    f"in the graph that {reader} has read; name the function as the model calls it "
                    "(for torch.export, the operation torch.ops.aten…), or leave the line out"
                )


def reader_for(module: nn.Module) -> Reader | None:
    """The table's reader for calls of a module."""
    return Mirrors().of_module(module)


def _reader(key: Any, value: Any) -> Reader:
    """What reads calls of a module class or function."""
    is_module = isinstance(key, type) and issubclass(key, nn.Module)
    function = isinstance(key, str) or (callable(key) and not isinstance(key, type | nn.Module))
    if not is_module and not function:
        raise TypeError(f"mirrors has a line for {key!r}; name a module class or a function")
    if isinstance(value, type) and issubclass(value, MirroredLayer):
        return partial(_of_module if is_module else _of_function, value)
    if isinstance(value, type) or not callable(value):
        raise TypeError(
            f"the mirror of {getattr(key, '__name__', key)} was {value!r}; give a subclass of "
            "MirroredLayer, or a function that reads a call: (layer, its inputs)"
        )
    return partial(_checked, key, value)


def _of_module(mirror: Callable[..., MirroredLayer], module: nn.Module, *inputs: Any) -> Any:
    """The class is made from the module; the arguments of the call are its inputs."""
    if not all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(inputs)):
        raise MirrorError(
            f"{type(module).__name__} was called with arguments that are not tensors; give, in "
            "place of its mirror's class, a function (module, *arguments) -> (layer, its inputs)"
        )
    return mirror(module), inputs


def _of_function(mirror: Callable[..., MirroredLayer], *args: Any, **kwargs: Any) -> Any:
    """The class is made from the arguments that are not tensors; the tensors are its inputs."""
    rest = [x for x in args if not isinstance(x, Tensor)]
    return mirror(*rest, **kwargs), tuple(x for x in args if isinstance(x, Tensor))


def _checked(key: Any, read: Reader, *args: Any, **kwargs: Any) -> Any:
    name = getattr(key, "__name__", key)
    try:
        inspect.signature(read).bind(*args, **kwargs)
    except TypeError as error:
        called = ", ".join([type(x).__name__ for x in args] + [f"{k}=" for k in kwargs])
        raise MirrorError(
            f"the mirror of {name} cannot read the call ({called}): {error}"
        ) from None
    result = read(*args, **kwargs)
    layered = isinstance(result, tuple) and len(result) == 2
    if result is not None and not (layered and isinstance(result[0], MirroredLayer)):
        raise MirrorError(
            f"the mirror of {name} gave {type(result).__name__}; expected (layer, its inputs), or "
            "None where it does not know a call"
        )
    if result is not None and not isinstance(result[1], (tuple, list)):
        raise MirrorError(
            f"the mirror of {name} gave (layer, {type(result[1]).__name__}); expected the inputs "
            "as a tuple of tensors: (layer, (x,))"
        )
    return result


@lru_cache(maxsize=512)
def _signature(reader: Reader) -> inspect.Signature:
    return inspect.signature(reader)


def fits(reader: Reader, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a reader of the table knows all arguments of a call."""
    try:
        _signature(reader).bind(*args, **kwargs)
    except TypeError:  # a spelling with arguments the reader does not know
        return False
    return True
