"""SAVE: the files in a run folder, one module per file, each with its writer and its reader."""
