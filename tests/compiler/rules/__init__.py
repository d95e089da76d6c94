"""The rewrite rules: where each fires, where it does not, and that values stay what they were."""
