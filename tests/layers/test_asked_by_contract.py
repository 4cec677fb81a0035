"""Outside of layers/ nobody asks of what class a layer or rule is: the contract answers."""

import ast
from pathlib import Path

import pytest

from deconvnet.layers import MirroredLayer, Rectifier

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for path in sorted((ROOT / "deconvnet").rglob("*.py"))
    if (ROOT / "deconvnet/layers") not in path.parents
]


def classes(base):
    """The names of all layers and rules of ours."""
    own = {base.__name__} if base.__module__.startswith("deconvnet.layers") else set()
    return own.union(*(classes(below) for below in base.__subclasses__()))


NAMES = classes(MirroredLayer) | classes(Rectifier) | {"Traced"}
ARGUMENTS = ("MirroredLayer", "Rectifier")  # whether a user's argument is one at all


def type_tests(source):
    """Lines that ask of what class a layer is."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "type"):
            names = {getattr(n, "id", getattr(n, "attr", "")) for n in ast.walk(node)}
            if names & NAMES - set(ARGUMENTS):
                found.append(node.lineno)
    return found


def names_of_rules(source):
    """Lines that write a rule's class name, which is not its identity: str(rectifier) is."""
    chains = (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute))
    return [n.lineno for n in chains if n.attr == "name" and "rectifier" in ast.unparse(n.value)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_type_tests_on_layers(path):
    assert type_tests(path.read_text(encoding="utf-8")) == []
    assert names_of_rules(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["isinstance(step.layer, Convolution)", "isinstance(x, (int, layers.linear.Linear))",
     "if isinstance(policies.rectifier, Gradient): pass", "isinstance(kept, local.Traced)"],
)  # fmt: skip
def test_a_type_test_would_be_caught(line):
    assert len(SOURCES) > 50
    assert type_tests(line) == [1]
    assert type_tests("isinstance(rule, Rectifier) or isinstance(x, Tensor)") == []
    assert names_of_rules("print(net.policies.rectifier.name)") == [1]
