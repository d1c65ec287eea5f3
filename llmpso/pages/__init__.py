"""Figures of a study, from its trials alone."""
