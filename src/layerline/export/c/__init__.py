"""A model as a C99 file and its header."""
