"""Settings for all tests."""

from hypothesis import settings

# No deadline: it would be a timing assert on a busy machine. The same examples at each run, so
# that a red build means a change; remove `derandomize` locally to search further.
settings.register_profile("tidegauge", deadline=None, derandomize=True)
settings.load_profile("tidegauge")
