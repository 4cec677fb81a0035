"""One question a file: what it computes, and the figure that shows it."""
