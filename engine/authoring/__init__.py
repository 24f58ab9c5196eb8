"""What is written from the declarations of component types: libraries and pages of reference."""
