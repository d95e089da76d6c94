"""What a user gives as data, as batches."""
