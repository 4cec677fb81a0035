"""How good a trained network of the zoo is: what it gets right, which channels are dead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .views import EXAMINATION, Pictures, Views

SEEN_OF_EACH = 16  # views of each object, to tell folders apart
FAINT, ROUGH, PURE = 0.1, 1.2, 0.25  # see first_layer


def examine(
    model: nn.Module, pictures: Pictures, *, seed: int, batch: int, batches: int = 32
) -> dict[str, Any]:
    """Everything a reader of a weights file should know of its quality.

    The accuracy on views never trained on, once disturbed as in training and once not, the number
    of these views, the share of each rectifier's channels that are zero on all of them, and the
    filters of layer 1 that show nothing. The model is a plain ``ZFNetMini`` on the CPU; the seed is
    that of its training, whose views are not used again.
    """

    def measured(disturb: bool) -> tuple[float, dict[str, float]]:
        views = Views(pictures, seed, purpose=EXAMINATION, labels=batches * batch, disturb=disturb)
        return answers(model, views.batches(batch))

    right, dead = measured(True)
    right_plain, _ = measured(False)
    return {
        "held_out_accuracy": round(right, 4),
        "held_out_accuracy_undisturbed": round(right_plain, 4),
        "held_out_views": batches * batch,
        "dead_share": {name: round(share, 4) for name, share in dead.items()},
        "first_layer": first_layer(model),
    }


@torch.no_grad()
def answers(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[float, dict[str, float]]:
    """The accuracy, and for each rectifier the share of channels that are zero on all views."""
    alive: dict[str, Tensor] = {}
    right = total = 0
    for images, labels in batches:
        maps = images
        for name, module in model.named_children():
            maps = module(torch.flatten(maps, 1) if name == "classifier" else maps)
            if name.startswith("relu"):
                answered = (maps > 0).any(0).flatten(1).any(1)
                alive[name] = alive.get(name, torch.zeros_like(answered)) | answered
        right += int((maps.argmax(1) == labels).sum())
        total += len(labels)
    return right / total, {name: 1 - up.float().mean().item() for name, up in alive.items()}


def first_layer(model: nn.Module) -> dict[str, int]:
    """How many of layer 1's filters show nothing: blank ones and noise.

    Blank is a filter below a tenth of the median filter's root mean square. Noise is a filter
    whose neighbouring taps have little to do with each other (:func:`roughness` above 1.2) though
    it is not of fine stripes, for which that is so too (:func:`purity` below a quarter).
    """
    weight = model.get_parameter("conv1.weight").detach()
    sizes = weight.square().mean(dim=(1, 2, 3)).sqrt()
    blank = sizes < FAINT * sizes.median()
    noise = (roughness(weight) > ROUGH) & (purity(weight) < PURE) & ~blank
    return {"filters": len(weight), "blank": int(blank.sum()), "noise": int(noise.sum())}


def roughness(filters: Tensor) -> Tensor:
    """The share of a filter's energy that neighbouring taps do not explain: 0 if flat, 2 for noise.

    Filters ``(filters, C, H, W)`` give ``(filters,)``.
    """
    filters = filters - filters.mean(dim=(2, 3), keepdim=True)
    energy = filters.square().mean(dim=(1, 2, 3)).clamp_min(1e-30)
    down = filters.diff(dim=2).square().mean(dim=(1, 2, 3))
    across = filters.diff(dim=3).square().mean(dim=(1, 2, 3))
    return (down + across) / 2 / energy


def purity(filters: Tensor) -> Tensor:
    """How much of a filter is its strongest wave: 1 for stripes, about 0.1 for 7x7 of noise.

    Filters ``(filters, C, H, W)`` give ``(filters,)``.
    """
    filters = filters - filters.mean(dim=(2, 3), keepdim=True)
    height, width = filters.shape[2:]
    # twice as fine as the taps tell, so that waves between two frequencies count in full
    waves = torch.fft.fft2(filters, s=(2 * height, 2 * width))
    power: Tensor = waves.abs().square().sum(dim=1).flatten(1)
    return 2 * 4 * power.amax(dim=1) / power.sum(dim=1).clamp_min(1e-30)


@torch.no_grad()
def unseen_instances(
    model: nn.Module, pictures: Pictures, *, seed: int, batch: int
) -> dict[str, float]:
    """Whether the features tell what kind of thing an object is that the read-out never saw.

    A class here is a folder. Every object in turn is left out; the others give each folder its
    mean feature, and the views of the one left out go to the nearest mean. The features are the
    maximum of each channel of the last pool, standardised. The network itself was trained on the
    object (as a class of its own, told apart from its folder as from all else): what is unseen
    is the instance to the read-out.

    Returns:
        The share of views that went to their own folder, what guessing would give, and the
        numbers of folders and objects: those that are not alone in their folder.

    Raises:
        ValueError: If fewer than two folders hold two objects.
    """
    kinds = [name.rpartition("/")[0] for name in pictures.names]
    used = [place for place, kind in enumerate(kinds) if kinds.count(kind) > 1]
    folders = sorted({kinds[place] for place in used})
    if len(folders) < 2:
        raise ValueError(
            f"{len(folders)} folders hold two objects or more: at least two are needed to ask "
            "which one an unseen object belongs to"
        )
    kind = torch.tensor([folders.index(kinds[place]) for place in used], dtype=torch.int64)
    labels = [place for place in used for _ in range(SEEN_OF_EACH)]
    views = Views(pictures, seed, purpose=EXAMINATION, labels=labels, disturb=False)
    features = _features(model, views.batches(batch)).view(len(used), SEEN_OF_EACH, -1)
    right = nearest_mean(features, kind)
    return {
        "unseen_instances": round(right, 4),
        "unseen_instances_by_guessing": round(1 / len(folders), 4),
        "folders": len(folders),
        "objects": len(used),
    }


def nearest_mean(features: Tensor, kind: Tensor) -> float:
    """Leave one object out at a time, and give its views to the nearest mean of the others.

    Features are ``(objects, views, C)``, kinds ``(objects,)``, each at least twice. The result is
    the share of views given to their object's kind.
    """
    of = torch.nn.functional.one_hot(kind).to(features)
    sums, counts = of.T @ features.mean(dim=1), of.sum(dim=0)
    right = 0.0
    for left_out, own in enumerate(kind.tolist()):
        means, number = sums.clone(), counts.clone()
        means[own] -= features[left_out].mean(dim=0)
        number[own] -= 1
        distances = torch.cdist(features[left_out], means / number[:, None])
        right += (distances.argmin(dim=1) == own).float().mean().item()
    return right / len(kind)


def _features(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """The maximum of each channel of the last pool, standardised: ``(views, C)``."""
    layers = nn.Sequential(*[part for name, part in model.named_children() if name != "classifier"])
    features = torch.cat([layers(images).amax(dim=(2, 3)) for images, _ in batches])
    return (features - features.mean(dim=0)) / features.std(dim=0).clamp_min(1e-6)
