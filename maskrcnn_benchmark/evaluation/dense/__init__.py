"""A class, or numbers, for every pixel."""
