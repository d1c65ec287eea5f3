"""A model in production: drift, degradation, warm start, promotion."""
