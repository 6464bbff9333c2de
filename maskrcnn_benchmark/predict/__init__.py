"""Using a trained network: a checkpoint alone, images in, the predictions of all tasks out."""
