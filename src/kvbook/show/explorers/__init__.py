"""Pictures to move through, that work from disk: a file each, with its JavaScript beside it."""
