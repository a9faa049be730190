import orjson
import pytest

from streams.cli.alerts import NoAlertError, one_line, read_event
from streams.monitor.wording import sentence
