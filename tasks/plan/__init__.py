"""What a training will come to, before it begins: parameters, tokens, steps, time, memory, disk, and advice."""
