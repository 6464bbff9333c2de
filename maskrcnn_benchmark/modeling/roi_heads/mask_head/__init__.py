"""The mask head: a small binary mask per detection."""
