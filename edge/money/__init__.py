"""What answers cost: the prices, and the accounts that charge each answer once."""
