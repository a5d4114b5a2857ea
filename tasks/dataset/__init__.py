"""The data that stages exchange: rows of a split, as tokens, with answers; and checks of a table of rows."""
