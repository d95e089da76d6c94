"""Sums of products: reading them out of a graph, and finding the form that costs least."""
