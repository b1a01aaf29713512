"""A network on 8-bit values: its steps, the scales of its values, and its Program."""
