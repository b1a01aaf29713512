"""The compiler: a checked Network becomes machine code for exactly its shapes and this CPU (docs/compiler.md)."""
