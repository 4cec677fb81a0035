"""The house: short files, clean imports, no traces of the machine it was built on."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import deconvnet

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 350  # 300 is a sign; a file that holds one idea may be longer
PRODUCT = ("deconvnet", "layers", "scripts")
MAY_PRINT = ("deconvnet/cli/main.py", "deconvnet/cli/commands/__init__.py", "scripts/")
# in two pieces, so that this file does not contain what it looks for
PLACES = "|".join(("ho" + "me", "ro" + "ot", "wo" + "rk", "Use" + "rs", "tm" + "p", "mn" + "t"))
MACHINE_PATH = re.compile(rf"(?<![\w.\-/:}}>])/(?:{PLACES})/\w")
REGISTRY = re.compile("|".join(("py" + r"pi\.", "pythonho" + "sted", r"ana" + r"conda\.")))


def files(*places, suffixes=(".py",)):
    """Every text file of these folders, once; the link to layers/ is not followed."""
    return [
        path
        for place in places
        for path in sorted((ROOT / place).rglob("*"))
        if path.suffix in suffixes and "__pycache__" not in path.parts and not _linked(path)
    ]


def _linked(path):
    return any(parent.is_symlink() for parent in path.parents)


def name_of(path):
    return path.relative_to(ROOT).as_posix()


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
