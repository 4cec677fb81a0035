"""Run the notebooks of this folder and write their outputs into them: after each change.

Example:
    python scripts/notebooks/run.py            # all of them
    python scripts/notebooks/run.py 1 3        # those whose names begin so
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image
from traitlets.config import Config

FOLDER = Path(__file__).parent


def executed(path: Path) -> Any:
    """The notebook with the outputs of a fresh run, in an empty folder of its own."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        run(notebook, folder, record_timing=False)
    return notebook


def run(notebook: Any, folder: str, **options: Any) -> None:
    """Execute a notebook in a folder, by a fresh kernel."""
    with tempfile.TemporaryDirectory() as sockets:
        # kernels that start at the same time may pick the same TCP port, but never the same file
        here = {"transport": "ipc", "ip": f"{sockets}/kernel"} if os.name == "posix" else {}
        places = {"metadata": {"path": folder}}
        config = Config({"KernelManager": here})
        client = NotebookClient(
            notebook, timeout=300, startup_timeout=600, resources=places, config=config, **options
        )
        client.execute()


def slimmed(notebook: Any) -> Any:
    """The notebook with five bits a colour in its pictures, which takes half of the room."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                memory = io.BytesIO()
                with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
                    coarse = picture.convert("RGB").point(lambda value: value & 0xF8 | value >> 5)
                coarse.save(memory, "PNG", optimize=True)
                data["image/png"] = base64.b64encode(memory.getvalue()).decode()
    return notebook


def main() -> None:
    """Run the chosen notebooks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[""], help="how their names begin")
    names = tuple(parser.parse_args().names)
    for path in sorted(FOLDER.glob("*.ipynb")):
        if path.name.startswith(names):
            nbformat.write(slimmed(executed(path)), path)
            print(path.name, f"{path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
