"""Attention as people write it: recognised in the graph, forward and backward."""
