"""Find each unit's top-k images in one pass over a dataset."""
