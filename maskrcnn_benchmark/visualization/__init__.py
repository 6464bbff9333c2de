"""Drawings of what is known or predicted about an image: `drawers.DRAWERS`, one per task, and `page.picture_page`."""
