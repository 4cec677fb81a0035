"""Packages that teach Pillow further formats; they are asked only when a file needs one."""

from __future__ import annotations

from importlib import import_module

from PIL import Image

_KINDS = {b"avif": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"), "HEIF"
)
"""What stands in a file after ``ftyp``: Pillow's name for the format."""
_PACKAGES = {
    "AVIF": (("pillow_avif", "pillow-avif-plugin"),),
    "HEIF": (("pillow_heif", "pillow-heif"), ("pi_heif", "pi-heif")),
}
"""The modules that add a format, and the names to install them by."""


def lacking(start: bytes) -> str:
    """The format that a file needs and that Pillow has not been taught; empty for none.

    Args:
        start: the first 12 bytes of the file.
    """
    kind = _KINDS.get(start[8:12], "") if start[4:8] == b"ftyp" else ""
    return kind if kind and kind not in Image.ID else ""


def taught(kind: str) -> bool:
    """Teach Pillow a format, if a package that does it is installed; whether one is."""
    for module, _ in _PACKAGES[kind]:
        try:
            found = import_module(module)
        except ImportError:
            continue
        register = getattr(found, f"register_{kind.lower()}_opener", None)
        if register is not None:  # others do it when they are imported
            register()
        if kind in Image.ID:
            return True
    return False


def advice(kind: str) -> str:
    """What to do where none is."""
    package = _PACKAGES[kind][0][1]
    return f"this format needs the package {package}; install it: pip install {package}"
