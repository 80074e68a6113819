"""What every test may lean on."""

from hypothesis import settings

# A deadline is a statement about this machine's clock; the rules are about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")
