"""Trainings that report as they go: their curves, and which of them stop early."""
