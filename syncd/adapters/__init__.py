"""The outside world, one port each. Adapters know nothing of `decide`, of `act` or of each other."""
