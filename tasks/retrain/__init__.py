"""retrain: when a model is trained again, on what, and the log of those decisions."""
