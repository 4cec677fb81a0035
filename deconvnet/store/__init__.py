"""Mined data sets on disk: the format, written whole, read with every claim checked."""
