"""What the operating system gives: cores (`cores`) and threads that never outlive their call (`workers`)."""
