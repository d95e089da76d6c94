"""What matrices look like: hints, shapes seen in the program, and systems solved with them."""
