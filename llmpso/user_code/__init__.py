"""A user's own code: called so that any error becomes one line, and followed along its imports."""
