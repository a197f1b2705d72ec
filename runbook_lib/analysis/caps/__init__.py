"""What to type into /keys as a cap, with its odds: from the spend of every key to a table."""
