"""Image files: found, decoded, brought to one size, kept, and put in order."""
