"""What goes into one subscriber's issue, and how it looks."""
