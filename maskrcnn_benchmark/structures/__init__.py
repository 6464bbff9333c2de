"""What is known or predicted about one image, and how it is resized, flipped, cropped, padded and moved."""
