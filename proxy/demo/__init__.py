"""The demo: a small ticket shop, the proxy and a pretended insurer, in one go."""
