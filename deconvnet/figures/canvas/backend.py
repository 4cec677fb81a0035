"""Matplotlib, imported whatever MPLBACKEND says: the figures here need no window.

Matplotlib cannot be imported where that variable names no backend it knows. It is taken over as
matplotlib itself would have done, where it makes sense.
"""

import os
import sys
from contextlib import suppress

_given = "" if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", "")
try:
    import matplotlib
finally:
    if _given:
        os.environ["MPLBACKEND"] = _given
if _given:
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _given
