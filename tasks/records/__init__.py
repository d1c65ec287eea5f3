"""What a study writes and reads: to MLflow, and to disk until MLflow has it."""
