"""The network: backbone, region proposals, heads and the detector that joins them."""
