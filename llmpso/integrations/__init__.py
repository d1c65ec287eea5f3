"""Callbacks that report for the training loops of other libraries; each imports its library."""
