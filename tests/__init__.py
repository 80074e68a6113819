"""What the project promises, rule by rule."""
