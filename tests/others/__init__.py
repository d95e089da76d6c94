"""Train steps of other people's libraries under `xlathe.compile`."""
