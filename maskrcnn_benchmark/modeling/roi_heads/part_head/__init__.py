"""The part head: a small map of part labels per detection."""
