"""Everything a worker is told from outside; the command line fills it in."""

from collections.abc import Mapping
