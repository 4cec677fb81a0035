"""A snapshot of a model's state, to detect changes since its graph was checked."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.modules.module as everywhere
from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, bytes, type(None))
_DEEPEST = 4  # containers and objects inside each other that are looked into
_LONGEST = 256  # values of a container that are looked at
_CROWD = 4  # times the modules of a model that settings are kept of
OWN = frozenset(vars(nn.Module())) | {"training"}  # torch's own records of a module
State = tuple[object, ...]


def modules_of(model: nn.Module) -> list[nn.Module]:
    """The modules of a model as ``model.modules()`` gives them, in a tenth of the time."""
    known, rest = dict[int, nn.Module](), [model]
    while rest:
        module = rest.pop()
        if id(module) not in known:
            known[id(module)] = module
            if parts := module._modules:
                rest += [part for part in reversed(parts.values()) if part is not None]
    return list(known.values())


def tensors_of(modules: Iterable[nn.Module]) -> list[Tensor]:
    """The parameters and buffers that these modules hold themselves; one may come twice."""
    held = [kept for module in modules for kept in (module._parameters, module._buffers)]
    return [tensor for kept in held for tensor in kept.values() if tensor is not None]


def refuse_inference(model: nn.Module) -> None:
    """Refuse a model with parameters or buffers of inference mode.

    Raises:
        ValueError: it has some.
    """
    if not any(tensor.is_inference() for tensor in tensors_of(modules_of(model))):
        return
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise ValueError(
                f"{name} of the model was made within torch.inference_mode(), where nothing has a "
                "derivative; make or load the model outside of it"
            )


def state_of(model: nn.Module) -> State:
    """What changes with parameters, buffers, hooks, code and settings of a model's modules.

    Settings are looked for in attributes of modules, in containers and objects that these hold,
    and in attributes of the users' own classes; not in globals of their files. It is no hash:
    those of -1 and -2 are the same.
    """
    return Look(model).state


def weights_of(model: nn.Module) -> tuple[tuple[str, object], ...]:
    """What changes with parameters and buffers: when they are written into, moved or replaced."""
    named = (*model.named_parameters(), *model.named_buffers())
    return tuple((name, _tensor(value)) for name, value in named)


class _Plain(NamedTuple):
    """The settings of a module that cannot change but by being set anew, as they were."""

    names: list[str]  # of all attributes, torch's own records among them
    values: Mapping[str, object]
    others: tuple[str, ...]  # the names of those that can
    state: State

    @staticmethod
    def of(own: Mapping[str, Any]) -> _Plain:
        """Those among a module's attributes."""
        settings = {name: value for name, value in own.items() if name not in OWN}
        plain = {name: value for name, value in settings.items() if _is_plain(value)}
        others = tuple(name for name in settings if name not in plain)
        state = tuple((name, _plain_state(value)) for name, value in plain.items())
        return _Plain([*own], plain, others, (others, *state))

    def still(self, own: Mapping[str, Any]) -> bool:
        """Whether the attributes have these names, and the plain ones are the same objects."""
        same = [*own] == self.names
        return same and all(map(operator.is_, map(own.get, self.values), self.values.values()))


_PLAIN: WeakKeyDictionary[nn.Module, dict[int, _Plain]] = WeakKeyDictionary()
"""{model: {id of a module: settings}}: looking again at thousands that are the same takes time."""


class Look:
    """One look at a model.

    Attributes:
        state: see ``state_of``.
        hooked: whether any hooks run when modules are called, or gradients go back through them.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = modules_of(model)
        self._registered = set(modules)
        self._classes: dict[type, State] = {}
        self._known = _PLAIN.setdefault(model, {})
        if len(self._known) > _CROWD * len(modules):  # others have come and gone
            self._known.clear()
        self.hooked = any(map(len, _GLOBAL)) or any(map(_hooked, modules))
        self.state: State = (
            tuple(of_everyone(everywhere._global_forward_hooks)),
            tuple(of_everyone(everywhere._global_forward_pre_hooks)),
            *[self._module(module, 0) for module in modules],
        )

    def _module(self, module: nn.Module, depth: int) -> State:
        own, kind = vars(module), type(module)
        plain = self._known.get(id(module))
        if plain is None or not plain.still(own):
            plain = self._known[id(module)] = _Plain.of(own)
        if kind not in self._classes:
            self._classes[kind] = _of_class(kind)
        others, parameters, buffers = plain.others, module._parameters, module._buffers
        return (
            id(module),
            hooks_of(module),
            plain.state,
            tuple([self._value(own[name], depth) for name in others]) if others else (),
            tuple(map(_tensor, parameters.values())) if parameters else (),
            tuple(map(_tensor, buffers.values())) if buffers else (),
            self._classes[kind],
        )

    def _value(self, value: object, depth: int) -> object:
        """A value of a setting: by what it is where that can be told, else which object it is."""
        if isinstance(value, PLAIN):
            return _plain(value)
        if isinstance(value, Tensor):
            return _tensor(value)
        if depth >= _DEEPEST or isinstance(value, type):
            return id(value)
        if isinstance(value, (list, tuple)):
            return len(value), tuple([self._value(v, depth + 1) for v in value[:_LONGEST]])
        if isinstance(value, nn.Module):
            if value in self._registered:
                return id(value)
            return id(value), tuple(self._module(m, depth + 1) for m in value.modules())
        if isinstance(value, Mapping):
            some = islice(value.items(), _LONGEST)
            return len(value), tuple((repr(k), self._value(v, depth + 1)) for k, v in some)
        inside = vars(value) if hasattr(value, "__dict__") and not callable(value) else {}
        some = islice(inside.items(), _LONGEST)
        return id(value), tuple((name, self._value(v, depth + 1)) for name, v in some)


_GLOBAL = (
    everywhere._global_forward_hooks, everywhere._global_forward_pre_hooks,
    everywhere._global_backward_hooks, everywhere._global_backward_pre_hooks,
)  # fmt: skip


def _hooked(module: nn.Module) -> bool:
    """Whether a module has hooks of any kind."""
    forward = module._forward_hooks or module._forward_pre_hooks
    return bool(forward or module._backward_hooks or module._backward_pre_hooks)


def _of_class(kind: type) -> State:
    """A user's own class may be patched, or hold settings."""
    if kind.__module__.startswith("torch."):
        return (id(kind),)
    own = [one for one in kind.__mro__ if not one.__module__.startswith(("torch.", "builtins"))]
    names = (item for one in own for item in vars(one).items())
    settings = tuple((k, _plain(v)) for k, v in names if isinstance(v, PLAIN) and k[:2] != "__")
    return id(kind), tuple(id(vars(one).get("forward")) for one in own), settings


def _is_plain(value: object) -> bool:
    """Whether a value cannot change: a number, a string, a tuple of these."""
    return type(value) in PLAIN or (type(value) is tuple and all(type(v) in PLAIN for v in value))


def _plain_state(value: object) -> object:
    return tuple(map(_plain, value)) if isinstance(value, tuple) else _plain(value)


def _plain(value: object) -> object:
    """With its type, since True is 1; NaN, which is not itself, by its name."""
    return type(value), value if value == value else "NaN"


def of_everyone(hooks: Mapping[int, Any]) -> dict[int, Any]:
    """Hooks for all modules, without those by which torch itself counts and profiles."""
    return {
        number: hook
        for number, hook in hooks.items()
        if not str(getattr(hook, "__module__", "")).startswith("torch.")
    }


def hooks_of(module: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of the hooks that a call of a module runs, before and after it."""
    if not module._forward_pre_hooks and not module._forward_hooks:
        return (), ()
    after = (n for n, hook in module._forward_hooks.items() if not hasattr(hook, "of_the_check"))
    return tuple(module._forward_pre_hooks), tuple(after)


def _tensor(value: Tensor | None) -> object:
    if value is None:
        return None
    return id(value), version_of(value), value.data_ptr()


def version_of(value: Tensor) -> int:
    """How often a tensor has been written into; what is made in inference mode is not counted."""
    return 0 if value.is_inference() else value._version


def contents(value: object) -> object:
    """What tells a constant apart: the bytes of a tensor, else the object itself."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
        return id(value)
    # a copy: of one number, any stride passes for contiguous
    plain = value.detach().cpu().flatten().clone(memory_format=torch.contiguous_format)
    held = plain.view(torch.uint8).numpy().tobytes()
    return value.dtype, tuple(value.shape), hashlib.sha256(held).hexdigest()
