"""optout-proxy: records a declined insurance offer durably and reports it to the insurer."""

__version__ = "1.0.0"
