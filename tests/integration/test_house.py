"""The house: short files, clean imports, no traces of the machine it was built on."""

import ast
import re
import subprocess
import sys
from importlib import import_module

import pytest

import deconvnet
from tests.support.house import (
    PRODUCT,
    ROOT,
    arrows,
    files,
    folder_of,
    height,
    imported,
    module_of,
    name_of,
    names,
)

LONGEST = 350  # 300 is a sign; a file that holds one idea may be longer
MAY_PRINT = ("deconvnet/cli/main.py", "deconvnet/cli/commands/__init__.py", "scripts/")
# in two pieces, so that this file does not contain what it looks for
PLACES = "|".join(("ho" + "me", "ro" + "ot", "wo" + "rk", "Use" + "rs", "tm" + "p", "mn" + "t"))
MACHINE_PATH = re.compile(rf"(?<![\w.\-/:}}>])/(?:{PLACES})/\w")
REGISTRY = re.compile("|".join(("py" + r"pi\.", "pythonho" + "sted", r"ana" + r"conda\.")))


SOURCES = files(*PRODUCT)
TEXTS = [
    *files(*PRODUCT, "tests", suffixes=(".py", ".md", ".toml", ".mplstyle", ".sh")),
    *(path for path in sorted(ROOT.iterdir()) if path.suffix in (".md", ".toml", ".cff")),
]


def imports_of_layers(source):
    """Lines that import the folder layers/ by its own name, which users' files may have too."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        else:
            continue
        found += [node.lineno for name in names if name.split(".")[0] == "layers"]
    return found


def prints(source):
    """Lines that print."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def test_the_house_is_looked_at():
    """A glob that finds nothing would pass every check below."""
    names = {name_of(path) for path in SOURCES}
    assert {"deconvnet/testing.py", "layers/pooling.py"} <= names
    assert not any(name.startswith("deconvnet/layers/") for name in names)
    assert "pyproject.toml" in {name_of(path) for path in TEXTS}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


MODULES = {module_of(p): p.read_text(encoding="utf-8") for p in files("deconvnet", "layers")}
PACKAGES = frozenset(module_of(p) for p in files("deconvnet", "layers") if p.stem == "__init__")
STOREYS = (
    ("__main__",),
    ("cli",),
    ("",),  # deconvnet/__init__.py: the public names, each imported when it is asked for
    ("pages", "adapters"),
    ("studies",),
    ("mining", "testing"),
    ("net", "zoo"),
    ("projection", "data", "store", "figures"),
    ("graph",),
    ("layers",),
    ("atomic",),
    ("units",),
    ("arguments",),
)
"""From the top down: a folder imports only from folders that stand below it."""
FOLDERS = {name for storey in STOREYS for name in storey} - {
    "",
    "__main__",
    "testing",
    "net",
    "units",
    "atomic",
    "arguments",
}


def upward(modules, packages=PACKAGES):
    """Imports that do not go down: (from, to)."""
    floor = {name: i for i, storey in enumerate(STOREYS) for name in storey}
    return sorted(
        (above, below)
        for above, targets in arrows(modules, packages).items()
        for below in targets
        if floor[above] >= floor[below]
    )


def test_folders_import_downwards_only():
    assert upward(MODULES) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("deconvnet.store.store", "from deconvnet.mining.mine import mine"),
        ("deconvnet.layers.pooling", "from deconvnet.graph import graph"),
        ("deconvnet.figures.save", "def f():\n    from deconvnet.projection.result import boxes"),
        ("deconvnet.data.samples", "from ..store import store"),
        ("deconvnet.projection.plan", "import deconvnet.net"),
        ("deconvnet.mining.run.job", "import deconvnet"),
    ],
)
def test_an_upward_import_would_be_caught(module, line):
    (found,) = upward({**MODULES, module: f"{MODULES[module]}\n{line}\n"})
    assert found[0] == folder_of(module)


def test_no_more_than_eight_levels():
    graph = arrows(MODULES, PACKAGES)
    between = {a: {b for b in graph[a] if b in FOLDERS | {"net"}} for a in graph}
    assert height("cli", between) <= 8
    assert height("cli", {**between, "layers": {"deeper"}, "deeper": {"a"}, "a": set()}) > 8
    with pytest.raises(ValueError, match="layers -> cli"):
        height("cli", {**between, "layers": {"cli"}})


def test_no_circle_of_files():
    """A file that imports another is never imported by it, however long the way round."""
    graph = {
        module: {n for n in map(_owner, imported(source, module, package=module in PACKAGES)) if n}
        - {module, "deconvnet"}
        for module, source in MODULES.items()
    }
    assert circle(graph) == []
    graph["deconvnet.layers.window"].add("deconvnet.layers.base")
    assert "deconvnet.layers.window" in circle(graph)


def _owner(name):
    return next((n for n in (name, name.rpartition(".")[0]) if n in MODULES), None)


def circle(graph):
    """What is left when files that import nothing are taken away again and again."""
    left = {a: set(b) for a, b in graph.items()}
    while gone := {a for a, b in left.items() if not b & left.keys()}:
        for name in gone:
            del left[name]
    return sorted(left)


def test_the_top_of_the_package_can_be_seen_at_once():
    top = [p for p in (ROOT / "deconvnet").iterdir() if not p.name.startswith(("_", "."))]
    assert {p.name for p in top if p.is_dir()} <= FOLDERS
    assert len(FOLDERS) <= 12
    assert len(list((ROOT / "deconvnet").glob("*.py"))) <= 7


@pytest.mark.parametrize("folder", ["deconvnet", "layers", "scripts", "tests", "outputs"])
def test_every_folder_says_what_is_in_it(folder):
    lines = (ROOT / folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert 10 <= len(lines) <= 60


@pytest.mark.parametrize("path", files(*PRODUCT, "tests"), ids=name_of)
def test_layers_is_imported_as_a_part_of_deconvnet(path):
    assert imports_of_layers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line", ["import layers", "from layers.base import Record", "import layers.x"]
)
def test_an_import_of_layers_would_be_caught(line):
    assert imports_of_layers(line) == [1]
    assert imports_of_layers("from . import layers\nimport deconvnet.layers, my.layers") == []


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_no_path_of_a_machine_and_no_registry(path):
    text = path.read_text(encoding="utf-8")
    assert MACHINE_PATH.findall(text) == []
    assert REGISTRY.findall(text) == []


@pytest.mark.parametrize("folder", PLACES.split("|"))
def test_a_path_of_a_machine_would_be_caught(folder):
    assert MACHINE_PATH.search(f'open("/{folder}/someone/photo.png")')
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/page and outputs/{folder}/x")
    assert REGISTRY.search("https://" + "py" + "pi.example")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_product_does_not_reach_outside_the_repository(path):
    assert ".." + "/shared" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_the_library_does_not_print(path):
    if not name_of(path).startswith(MAY_PRINT):
        assert prints(path.read_text(encoding="utf-8")) == []
    assert prints("x = 1\nprint(x)") == [2]


def test_there_is_no_drawer_for_odds_and_ends():
    assert not [name_of(p) for p in SOURCES if p.stem in ("utils", "util", "helpers", "misc")]


@pytest.mark.parametrize("module", ["deconvnet", "deconvnet.layers", "deconvnet.testing"])
def test_every_public_name_is_there_and_documented(module):
    public = import_module(module)
    assert public.__all__
    for name in public.__all__:
        thing = getattr(public, name)
        assert not callable(thing) or thing.__doc__, f"{module}.{name} has no docstring"
    assert set(public.__all__) <= set(dir(public))


def test_completion_offers_public_names_and_nothing_else():
    offered = {*deconvnet.__all__, "adapters", "testing", "zoo"}
    assert set(dir(deconvnet)) == offered, "not import_module, or what else the file needs"


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="no attribute 'deconvolve'"):
        _ = deconvnet.deconvolve


def modules_after(statement):
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_deconvnet_does_not_wait_for_torch():
    assert "torch" not in modules_after("import deconvnet")
    assert "torch" in modules_after("from deconvnet import UnmirroredError")  # it can be told


OLD_MODULES = {
    "found", "ordinary", "evaluating", "trial", "inside_law", "accepting", "following", "isolate",
    "claims", "items", "page", "origin", "descend", "record", "working", "running", "target",
    "reading", "route", "guarded", "shielding", "disturbing", "mirror", "stores", "runs", "checks",
}  # fmt: skip
OLD_NAMES = {
    "found", "Found", "ordinarily", "separable", "placewise", "elsewhere", "lit", "descend",
    "ascend", "Recorder", "Remembered", "Route", "route_of", "held_against", "spelled",
}  # fmt: skip
"""Words that say nothing, or had several meanings: as names in code they are gone. (Format 1 of
the store has an attribute ``elsewhere``, and CHANGELOG.md names what was renamed.)"""


def old_words(source):
    """(line, name) of names that are gone."""
    return [(line, name) for line, name in names(source) if name in OLD_NAMES]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_old_words_are_gone(path):
    assert not OLD_MODULES & set(path.relative_to(ROOT).with_suffix("").parts)
    assert old_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["found = 1", "def f(elsewhere): ...", "x.separable", "f(elsewhere=1)", "from a import lit"],
)
def test_an_old_word_would_be_caught(line):
    assert old_words(line)
    assert old_words('attributes = {"elsewhere": 1}  # found') == []
