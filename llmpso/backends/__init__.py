"""Ways to reach a language model, one small module each, behind `Backend.complete`."""
