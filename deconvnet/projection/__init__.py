"""Images forward to a recording; the signals of single units backward to the pixels."""
