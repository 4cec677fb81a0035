"""One mining run: divided into shards, saved as parts, resumed, merged into a store."""
