"""Hyperparameter tuning by particle swarm optimisation guided by a large language model."""
