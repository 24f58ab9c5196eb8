"""What descriptions can deploy; one folder per subject."""
