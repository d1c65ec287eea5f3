"""Loaders of real data: each returns plain frames or arrays and says where they come from."""
