"""Trainings that several lessons share."""
