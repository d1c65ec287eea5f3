"""From a CSV file to a table of cells and columns that can be learned from."""
