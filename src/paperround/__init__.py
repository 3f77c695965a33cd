"""Paperround: every subscriber's own paper, delivered on schedule."""
