"""Texts and images as people send them: their normal form, templates, near-duplicates, redaction of personal data."""
