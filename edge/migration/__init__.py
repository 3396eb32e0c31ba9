"""Configurations of other programs, and what the environment names, made into one of this program's."""
