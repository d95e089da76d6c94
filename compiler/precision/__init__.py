"""Low precision where it pays: which products are cast, and how the casts are placed."""
