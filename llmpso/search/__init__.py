"""Ask and tell: the swarm, other metaheuristics, and what guides them."""
