"""Figures of a study, made from its trials only."""
