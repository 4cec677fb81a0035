"""One question per file: a call that computes, and a result that draws itself."""
