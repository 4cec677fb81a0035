"""Mine a dataset: for each unit, the images that excite it most."""
