"""Whether a store is what its model and its data set give."""
