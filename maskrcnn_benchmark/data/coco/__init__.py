"""Files in COCO's layout: read as they are or from an index, and checked."""
