"""One caller's failure stays its own."""
