"""The embedded data set: drawn scenes, written in PASCAL in Detail's layout."""
