"""The version, where every module may import it: the package itself imports them all."""

__version__ = "0.1.0"
