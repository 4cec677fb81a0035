"""Print the oldest version of each dependency that pyproject.toml allows, one a line.

The lines are requirements that pip can install, ``torch==2.6`` for ``torch>=2.6``. A dependency
without a lower bound, or with more than one bound, is an error.

    python scripts/floors.py > floors.txt
    pip install -r floors.txt -e ".[test]"
"""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def floor(requirement: str) -> str:
    """The requirement of exactly the lower bound: ``torch==2.6`` for ``torch>=2.6``.

    Raises:
        ValueError: the requirement is not a name and one lower bound.
    """
    match = re.fullmatch(r"([\w.-]+)\s*>=\s*([\w.]+)", requirement)
    if match is None:
        raise ValueError(f"{requirement!r} has no single lower bound; write it as 'name>=version'")
    return f"{match[1]}=={match[2]}"


def floors(pyproject: Path = PYPROJECT) -> list[str]:
    """The lower bounds of the dependencies, as requirements."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    return [floor(requirement) for requirement in project["dependencies"]]


if __name__ == "__main__":
    print("\n".join(floors()))
