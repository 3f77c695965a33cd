"""Who gets it, and their say in it."""
