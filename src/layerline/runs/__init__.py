"""SAVE: what a run leaves in its folder, a module a thing, each written and read side by side."""
