"""What no input log holds, written down."""
