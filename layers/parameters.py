"""The parameters of a user's rule as text, which is part of its identity in stores and figures."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from torch import Tensor

from deconvnet.arguments import Brief


def written(value: Any) -> str:
    """A parameter as text: other values give another text, and every process the same."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value or value != value else repr(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg().numpy()
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(value.tobytes()).hexdigest()[:8]
        return f"{value.dtype} {'x'.join(map(str, value.shape))} {digest}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {written(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(written, value))}]"
    own = getattr(value, "__qualname__", None)  # of functions and classes
    said = not isinstance(value, Brief) or type(value).__str__ is not object.__str__
    if own is None and (" at 0x" in repr(value) or not said):
        return f"{type(value).__qualname__} {written(getattr(value, '__dict__', {}))}"
    return str(own or value)
