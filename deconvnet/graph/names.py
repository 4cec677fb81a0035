"""Names of nodes: the output of a module has the module's path, and no other node has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import fx


def numbered(
    nodes: Iterable[tuple[fx.Node, str, bool]], paths: Iterable[str]
) -> Mapping[fx.Node, str]:
    """A name for every node, by what it is called and how often that was there before.

    The nodes are (node, what it is called, whether it is the output of the module of that path);
    the paths of modules are kept for them.
    """
    reserved, taken = set(paths), set[str]()
    names: dict[fx.Node, str] = {}
    for node, word, owns in nodes:
        name, count = word, 0
        while name in taken or (name in reserved and not (owns and name == word)):
            count += 1
            name = f"{word}_{count}"
        taken.add(name)
        names[node] = name
    return names
