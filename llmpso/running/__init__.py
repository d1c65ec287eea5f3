"""Running evaluations: in threads, processes or on a cluster, and storing what they measured."""
