"""The web side: parse, verify, record, answer. Holds no credential and sends nothing upstream."""
