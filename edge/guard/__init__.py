"""Who may do what: keys, and the shape of what they send."""
