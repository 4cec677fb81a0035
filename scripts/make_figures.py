"""The Zeiler-Fergus grid of every layer of a store, as PDF.

Example:
  python scripts/make_figures.py outputs/top9.h5 --channels strongest:12 -o outputs/figures
"""

from __future__ import annotations

import argparse
from pathlib import Path

import deconvnet
from deconvnet.cli.main import main as deconvnet_command


def main() -> None:
    """Draw one file a layer, with the command that draws one."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--channels", default="strongest:12")
    parser.add_argument("--rectifier", default="deconvnet")
    parser.add_argument("-o", "--output", default="outputs/figures", help="folder (%(default)s)")
    options = parser.parse_args()
    for layer in deconvnet.open_store(options.store):
        file = Path(options.output) / f"figure2_{layer}.pdf"
        words = ["figure", options.store, "--layer", layer, "--channels", options.channels]
        code = deconvnet_command([*words, "--rectifier", options.rectifier, "-o", str(file)])
        if code:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
