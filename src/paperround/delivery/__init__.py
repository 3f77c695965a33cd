"""How it gets there, once."""
