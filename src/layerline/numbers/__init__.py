"""Numbers: as people read them (`display`), as a user gives them (`scalars`), and drawn from a seed (`randomness`)."""
