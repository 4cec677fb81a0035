"""One mining run: shared out, saved as parts, gone on with, put together."""
