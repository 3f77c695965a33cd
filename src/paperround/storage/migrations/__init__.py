"""Migrations: the schema's history, run by Alembic from inside the program."""
