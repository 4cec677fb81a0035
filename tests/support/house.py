"""The repository read as a house: which file imports which, and which names it uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("deconvnet", "layers", "scripts")


def files(*places, suffixes=(".py",), root=ROOT):
    """Every text file of these folders, once; the link to layers/ is not followed."""
    return [
        path
        for place in places
        for path in sorted((root / place).rglob("*"))
        if path.suffix in suffixes and "__pycache__" not in path.parts and not _linked(path)
    ]


def _linked(path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents)


def name_of(path: Path) -> str:
    """The path below the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path, root: Path = ROOT) -> str:
    """The name under which a file is imported; ``layers/`` is ``deconvnet.layers``."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[0] == "layers":
        parts.insert(0, "deconvnet")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imported(source: str, module: str, *, package: bool = False) -> Iterator[str]:
    """Every module that a source imports, also inside of functions and for type checkers.

    ``from a import b`` gives ``a.b``, which is a module or a name in the module ``a``.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.split(".")[: (1 if package else 0) - node.level or None]
                base = ".".join([*above, base] if base else above)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def folder_of(module: str) -> str:
    """The folder of ``deconvnet/`` in which a module lies, or the file at its top; else ""."""
    return module.split(".")[1] if "." in module else ""


def arrows(modules: Mapping[str, str], packages: frozenset[str] = frozenset()) -> dict[str, set]:
    """For each folder or top file of the product those that it imports.

    Args:
        modules: source by module name.
        packages: those of the modules that are an ``__init__.py``.
    """
    found: dict[str, set] = {folder_of(module): set() for module in modules}
    for module, source in modules.items():
        for name in imported(source, module, package=module in packages):
            if name.split(".")[0] == "deconvnet":
                target = name if folder_of(name) in found else "deconvnet"
                found[folder_of(module)].add(folder_of(target))
    return {folder: targets - {folder} for folder, targets in found.items()}


def height(folder: str, graph: Mapping[str, set], above: tuple[str, ...] = ()) -> int:
    """How many folders lie on the longest chain of imports that starts here.

    Raises:
        ValueError: the chain comes back to where it was.
    """
    if folder in above:
        raise ValueError(" -> ".join((*above, folder)))
    return 1 + max((height(f, graph, (*above, folder)) for f in graph[folder]), default=0)


def names(source: str) -> Iterator[tuple[int, str]]:
    """Every name that a source gives or uses: variables, functions, arguments, attributes."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield line, name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield line, name
            case ast.keyword(arg=str(name)) | ast.alias(name=name):
                yield line, name
