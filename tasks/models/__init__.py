"""Trained models and the registry: stored, registered, served, compared."""
