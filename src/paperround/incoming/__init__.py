"""What mail brings back."""
