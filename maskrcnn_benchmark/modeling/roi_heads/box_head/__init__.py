"""The box head: class and refined box of each proposal."""
