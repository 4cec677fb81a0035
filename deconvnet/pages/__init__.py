"""The atlas: every unit of a network as pages for a browser, without a server."""
