"""Files of any kind: only regular files are read, writes are atomic, and parsing is bounded."""
