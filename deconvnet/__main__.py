"""``python -m deconvnet``."""

import sys

from deconvnet.cli.main import main

sys.exit(main())
