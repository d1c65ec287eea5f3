"""MLflow's store: its address, file and client, the names it takes, locks in it."""
