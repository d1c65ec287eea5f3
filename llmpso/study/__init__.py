"""A study: its specification, its optimizer, its loop, when it stops, and its result."""
