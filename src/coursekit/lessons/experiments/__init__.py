"""What the lessons measure: one function for each experiment, which prints its result."""
