"""Which works interest whom."""
