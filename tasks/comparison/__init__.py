"""What a tuned model is compared with, and what follows from it: the contestants, and whether tuning was worth it."""
