"""The compiler: turns a checked Network into machine code specialized to its shapes and this CPU (docs/compiler.md)."""
