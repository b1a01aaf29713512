"""Resources of the operating system: cores (`cores`), and threads that never outlive their call (`workers`)."""
