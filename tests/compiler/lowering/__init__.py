"""Lowering: the printed programs, and that they are the graphs they were printed from."""
