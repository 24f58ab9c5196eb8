"""What is on the screen; each widget shows what it is given and knows no network."""
