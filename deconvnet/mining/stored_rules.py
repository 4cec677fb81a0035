"""The names under which a store keeps projections: rule, normalization and unpooling."""

from __future__ import annotations

import re
from dataclasses import replace

from deconvnet.layers import Policies

_CHOICES = re.compile(r", (normalization|unpooling) (\w+)")


def stored_name(policies: Policies) -> str:
    """The name of projections: "guided", or "guided, unpooling centre" where that was chosen.

    The fallback is not in it: it stands in an attribute beside the projections.
    """
    return str(replace(policies, fallback=None))


def named_policies(name: str, fallback: str = "") -> Policies:
    """The policies of stored projections, by their name and their fallback; empty for none.

    Raises:
        ValueError: no rule has this name, such as one of the user's own.
    """
    chosen = dict(_CHOICES.findall(name))
    return Policies.of(
        _CHOICES.sub("", name),
        fallback or None,
        normalization=chosen.get("normalization"),
        unpooling=chosen.get("unpooling", "switches"),
    )
