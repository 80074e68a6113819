"""Schema versions. A migration adds first and removes a version later: two may run at once."""
