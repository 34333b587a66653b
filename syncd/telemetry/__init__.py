"""What the daemon says about itself: structured logs without secrets."""
