"""The compiler: turns a checked Network into machine code specialized for its shapes and this CPU (docs/compiler.md)."""
