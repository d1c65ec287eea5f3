"""Averages of a study's best models: which are averaged, and whether that is better."""
