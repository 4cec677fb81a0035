"""What images a model takes, and whether these are such."""

from __future__ import annotations

from torch import Tensor, nn

from deconvnet.reading.graphs import Graphs


def accepted(images: Tensor, graphs: Graphs) -> Tensor:
    """The images on the model's device and in its precision.

    Raises:
        TypeError: they are no tensor.
        ValueError: they have no batch axis, or are not preprocessed.
    """
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images were {type(images).__name__}; give a tensor (batch, channels, *size), "
            "for photographs as deconvnet.Preprocessing makes it"
        )
    if images.ndim < 3 or (images.ndim == 3 and axes_of(graphs) >= 2):
        raise ValueError(
            f"images of shape {tuple(images.shape)} have no batch axis; expected "
            "(batch, channels, *size): use images[None] for a single one"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images of type {images.dtype} are not preprocessed; the model takes floats, "
            "normalised as it was trained (see deconvnet.Preprocessing)"
        )
    parameter = next(graphs.model.parameters(), images)
    return images.detach().to(device=parameter.device, dtype=parameter.dtype)


def channels_of(graphs: Graphs) -> int:
    """How many channels the first convolution takes; 3 if there is none to ask."""
    for module in _modules(graphs):
        channels = getattr(module, "in_channels", None)
        if channels is not None:
            return int(channels)
    return 3


def axes_of(graphs: Graphs) -> int:
    """Number of spatial axes, by the first operation that says; 2 if none does."""
    graph = graphs.any_size
    kinds = [n.kind for n in graph] if graph else [type(m).__name__ for m in _modules(graphs)]
    return next((axes for kind in kinds for axes in (1, 2, 3) if kind.endswith(f"{axes}d")), 2)


def _modules(graphs: Graphs) -> list[nn.Module]:
    """The modules in the order in which they run, or were made if that is not known yet."""
    if graphs.any_size is None:
        return list(graphs.model.modules())
    return [node.module for node in graphs.any_size if node.module is not None]
