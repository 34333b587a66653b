"""The first floor: one step each. Fetch facts through ports, ask `decide`, obey, record."""
