"""Training runs that several lessons share."""
