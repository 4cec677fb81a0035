"""Mined data sets on disk: the HDF5 format, written in one step, checked when it is read."""
