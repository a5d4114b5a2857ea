"""report: one page that tells a person what came of a run."""
