"""What travels on the topics: the contract other programs rely on."""
