"""Plain transcriptions of algorithms: slow, obvious, and what the product must agree with."""
