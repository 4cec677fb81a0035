"""Compare the graph of a model with the model itself."""
