"""What is to be done: decided from what is there, without doing it."""
