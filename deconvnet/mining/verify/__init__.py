"""Verify a store against its model and its data set."""
