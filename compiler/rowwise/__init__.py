"""Regions of a program that treat each row of an array by itself."""
