"""Images to a recording, and from one unit down the mirrored network to the pixels."""
