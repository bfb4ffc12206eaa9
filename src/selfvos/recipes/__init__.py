"""Complete training runs by name."""
