"""Weight files of this and other libraries: fetched, read without running anything in them, given our names."""
