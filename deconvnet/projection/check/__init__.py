"""A graph held against the model it stands for."""
