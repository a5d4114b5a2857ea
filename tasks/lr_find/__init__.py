"""`make lr-find`: a range test of learning rates on a model's own rows, its page, and the rate that it suggests."""
