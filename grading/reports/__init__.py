"""A Report as text: for a terminal, a page, CI."""
