"""Labelled images: from folders or arrays to equal squares in three parts."""
