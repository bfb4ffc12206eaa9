"""Speed and memory of the product, side by side with plain versions of what others do."""
