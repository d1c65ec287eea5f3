"""From a proposed trial to a measured one: here, in processes, kept on disk."""
