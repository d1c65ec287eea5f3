"""Ask and tell: the swarm, the paper's method, and the search that a surrogate assists."""
