"""Taking loops apart: what a body computes for itself, for the turns after, and for outside."""
