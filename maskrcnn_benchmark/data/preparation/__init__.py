"""Making a data set ready: reading its annotation file once, checking it, and writing the index that is opened."""
