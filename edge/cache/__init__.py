"""Answers that need not be asked for again: kept in memory and in Redis, and shared by a crowd while they come."""
