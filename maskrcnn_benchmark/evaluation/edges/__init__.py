"""Thinned edge maps against annotated edges."""
