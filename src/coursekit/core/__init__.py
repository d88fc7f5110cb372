"""What every room uses: errors, files, the device, several processes, and the numbers of a run."""
