"""What all other packages use: errors, files, devices, several processes, and the configuration of a run."""
