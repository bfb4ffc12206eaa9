"""What benchmarks ask for: objects, body parts or points, each followed and scored in its own way; one per file."""
