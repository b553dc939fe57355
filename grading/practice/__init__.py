"""What goes on between one grade and the next."""
