"""Pages one likes to look at: figures of a study, from its trials alone."""
