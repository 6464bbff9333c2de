"""Using a trained network: a checkpoint alone, images in, the answers of all tasks out."""
