"""Findings from facts."""
