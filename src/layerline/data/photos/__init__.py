"""Image files: find, decode, resize, cache and sort them."""
