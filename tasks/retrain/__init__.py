"""retrain: when a task is trained again, on what, and the book of those decisions."""
