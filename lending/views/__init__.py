"""Pages of the loan desk, by who opens them."""
