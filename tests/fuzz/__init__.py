"""Coverage-guided fuzzing of the hot modules: ``python -m tests.fuzz.run``."""
