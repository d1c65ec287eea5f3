"""Memory: what earlier studies of other data teach a new one."""
