"""Pages, one-click, personal feeds, health."""
