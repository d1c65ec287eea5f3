"""The surrogate: a Gaussian process of the values, and another of where trials fail."""
