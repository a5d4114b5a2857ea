"""What stages hand to each other: rows in a split, as tokens, answered; and the checks of a table of rows."""
