"""A model read as a graph of nodes: by torch.fx, else by torch.export."""
