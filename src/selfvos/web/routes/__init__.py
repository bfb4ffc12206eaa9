"""What the page may ask for, one file for each kind of thing."""
