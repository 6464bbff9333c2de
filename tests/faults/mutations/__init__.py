"""Damaged and hostile files and options by the thousand, each before a door of the package."""
