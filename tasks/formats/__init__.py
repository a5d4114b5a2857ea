"""What an answer is: how each kind is written, read, judged and compared, and the contract of a version."""
