"""The ground floor: facts and the time in, answer out. No clock, no disk, no network, no randomness, no logging."""
