"""The insurer's API, played faithfully on this machine. Knows nothing of the proxy it serves."""
