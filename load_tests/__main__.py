"""``python -m load_tests``: the benchmark."""

from load_tests.bench import main

main()
