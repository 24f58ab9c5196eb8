"""What stands above a component and counts for it: limits, and where files are kept."""
