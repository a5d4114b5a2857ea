"""Answer formats: how each kind of answer is written, read, validated and compared; and the contract of a version."""
