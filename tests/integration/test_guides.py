"""The guides name what is there: imports, files and links."""

import ast
import re
from importlib import import_module

import pytest

from tests.support.house import ROOT, files, name_of

FOLDERS = ("deconvnet", "layers", "scripts", "tests", "outputs")
EVERY = sorted(  # of this repository, whatever environments and builds lie beside it
    name_of(path) for path in (*ROOT.glob("*.md"), *files(*FOLDERS, suffixes=(".md",)))
)


def missing(text, folder):
    """What a guide in a folder names that does not exist."""
    found = [
        link for link in re.findall(r"\]\((?!http)([^)#]+)", text) if not (folder / link).exists()
    ]
    for block in re.findall(r"^```python\n(.*?)^```", text, flags=re.M | re.S):
        for node in ast.walk(ast.parse(block.replace("…", "..."))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("deconvnet"):
                found += [
                    f"{node.module}.{one.name}"
                    for one in node.names
                    if not there(node.module, one.name)
                ]
    places = {folder, ROOT / "deconvnet"}
    for row in re.findall(r"^\|.*\|$", text, flags=re.M) if folder == ROOT / "deconvnet" else ():
        files = re.findall(r"`([\w/]+\.py)`", row)
        near = {place / file for place in places for file in files}
        beside = {path.parent for path in near if path.exists()}
        found += [one for one in files if not any((p / one).exists() for p in (*places, *beside))]
    return found


def there(module, name):
    try:
        return hasattr(import_module(module), name) or bool(import_module(f"{module}.{name}"))
    except ImportError:
        return False


@pytest.mark.parametrize("guide", EVERY)
def test_what_a_guide_names_is_there(guide):
    assert not missing((ROOT / guide).read_text(encoding="utf-8"), (ROOT / guide).parent)


def test_names_that_are_gone_are_caught():
    """The planted wrong cases: a module, a name, a link and a file of a table."""
    text = (
        "[here](nowhere.md)\n```python\nfrom deconvnet.testing import gone\n"
        "from deconvnet import zoo, DeconvNet\n```\n"
        "| a | `projection/plan.py`, `cone.py`, `lost.py` |\n"
    )
    assert missing(text, ROOT / "deconvnet") == ["nowhere.md", "deconvnet.testing.gone", "lost.py"]
    assert not there("deconvnet.gone", "anything")
