"""Numbers: formatted (`display`), as passed by users (`scalars`), and random (`randomness`)."""
