"""Files of any kind: opened only where they are files, written whole or not at all, and what is in them bounded."""
