"""Fingerprints of models and data sets, by which a changed one is recognised."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence, Set
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from deconvnet.data.samples import bytes_of, few_images
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import threads_of_cpu
from deconvnet.graph.node import Node

from .left_behind import called_before, is_cache

SCHEME = "2:"
_WITHOUT_EFFECT = ("training", "inplace")  # evaluation is always meant; a value is a value
_MADE_FROM = ("_orig", "_v")  # a weight that old-style norms and pruning make anew in each call
_PLACES = (torch.device, torch.layout, torch.memory_format)  # where a value lies, not what it is


def of_model(graph: Graph, image: Tensor) -> str:
    """SHA-256 over all that the model's values depend on: "2:" and 64 hexadecimal digits.

    That is parameters, buffers and constants, and of every node what it is, what it reads, with
    which arguments, and the options of its module: a stride or a slope is in no state dict. What
    a forward leaves behind does not count: caches are filled first, and what differs from call to
    call, as counters do, is left out.

    ``image`` is (1, channels, *size), of any content.
    """
    with called_before(graph, image) as (warm, changing):
        digest = hashlib.sha256()
        for name, tensor in sorted(_state(warm).items()):
            if name not in changing:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(bytes_of(tensor))
        for node in warm:
            digest.update(f"{node.name} {node.kind} {','.join(node.sources)}\n".encode())
            for line in _asked(node, warm, changing):
                digest.update(f"{line}\n".encode())
    return f"{SCHEME}{digest.hexdigest()}"


def check_mined(
    attributes: Mapping[str, Any],
    kind: str,
    given: str,
    *,
    advice: str = "the one it was mined with",
) -> None:
    """Check that the fingerprint of a "model" or "dataset" is that in the attributes of a store.

    One that the store lacks, or of an earlier scheme, is not: activations are compared besides.
    """
    mined = attributes.get(f"{kind}_fingerprint")
    if mined and mined != given and (kind != "model" or comparable(mined)):
        raise ValueError(
            f"the store was mined from another {kind}: its fingerprint is {str(mined)[:12]}…, "
            f"this one's {given[:12]}…; give {advice}, or mine again"
        )


def comparable(told: object) -> bool:
    """Whether the fingerprint of a model in a file has the present scheme.

    The scheme before it left out the options of modules.
    """
    return str(told or "").startswith(SCHEME)


def of_dataset(dataset: Any) -> str:
    """The data set's own ``fingerprint()``, else SHA-256 over its length and a few of its items."""
    own = getattr(dataset, "fingerprint", None)
    if callable(own):
        try:
            with threads_of_cpu(1):  # as in a process that reads ahead
                return str(own())
        except OSError:
            raise
        except Exception as error:  # somebody else's code may raise anything
            raise ValueError(
                f"the method fingerprint() of the data set failed, {type(error).__name__}: {error}"
            ) from error
    digest = hashlib.sha256(f"{type(dataset).__name__} {len(dataset)}\n".encode())
    for image in few_images(dataset):
        digest.update(image)
    return digest.hexdigest()


def _state(graph: Graph) -> dict[str, Tensor]:
    """The tensors that values depend on, those in no state dict included."""
    kept = dict(graph.model.state_dict())
    # what a forward writes into is no more than its memory of the last one
    written = {node.sources[0] for node in graph if node.mutates and node.sources}
    for node in graph:
        if node.call.op == "get_attr" and node.name not in written:
            path = str(node.call.target)
            kept.setdefault(path, graph.attribute(path))
        for path, buffer in node.module.named_buffers() if node.module is not None else ():
            kept.setdefault(f"{node.name}.{path}", buffer)
    return {name: value for name, value in kept.items() if isinstance(value, Tensor)}


def _asked(node: Node, graph: Graph, changing: Set[str]) -> Iterator[str]:
    """A node's arguments, and the options of its module and of those inside."""
    if node.call.op == "placeholder":
        return
    yield f"{_told(node.call.args, graph.names)} {_told(node.call.kwargs, graph.names)}"
    for path, module in node.module.named_modules() if node.module is not None else ():
        place = ".".join(filter(None, (str(node.call.target), path)))
        kept = [n for n in vars(module) if f"{place}.{n}" not in changing]
        yield f"{path} {type(module).__name__} {_told(_options(module, kept), {})}"


def _options(module: nn.Module, names: Sequence[str]) -> dict[str, Any]:
    """Attributes of a module beside its tensors, without those that have default values.

    So the fingerprint stays the same when a later version of torch adds an option.
    """
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(type(module).__init__).parameters.items()
    }
    tensors = {**module._parameters, **module._buffers}
    plain = {
        name: _told(vars(module)[name], {})
        for name in names
        if not name.startswith("_")
        and not is_cache(vars(module)[name])
        and name not in _WITHOUT_EFFECT
        and not any(f"{name}{ending}" in tensors for ending in _MADE_FROM)
    }
    return {
        name: told
        for name, told in sorted(plain.items())
        if name not in defaults or told != _told(defaults[name], {})
    }


def _told(value: Any, names: Mapping[fx.Node, str]) -> str:
    """A value as a text that is the same in every process."""
    if isinstance(value, fx.Node):
        return f"%{names[value]}"
    if isinstance(value, Tensor):
        size = f"{value.dtype} {tuple(value.shape)}"
        return f"tensor {size} {hashlib.sha256(bytes_of(value)).hexdigest()}"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_told(one, names)}' for key, one in value.items())}}}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_told(one, names) for one in value)})"
    if isinstance(value, slice):
        return f"slice{_told((value.start, value.stop, value.step), names)}"
    if isinstance(value, (np.ndarray, np.generic)):
        return repr(value.tolist())
    if value is None or isinstance(value, (bool, int, float, complex, str, Enum, torch.dtype)):
        return repr(value)
    if isinstance(value, _PLACES):
        return ""
    if isinstance(value, partial):
        return f"{_told(value.func, names)} {_told((value.args, value.keywords), names)}"
    return str(getattr(value, "__qualname__", type(value).__qualname__))  # no address of memory
