"""Finding and reading the times of a table, however they are written."""
