"""Where requests go: providers, the choice of one, and the wire to it."""
