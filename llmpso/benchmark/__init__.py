"""The benchmark: problems, arms, paired studies, and what may be claimed from them."""
