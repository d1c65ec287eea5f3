"""The studies of before: found in MLflow, read, or taken over from other tools."""
