"""What drawings of tasks share, charts, and pages. Each task draws itself: `Task.draw` and `Task.overlay`."""
