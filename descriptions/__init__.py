"""Description libraries: `.sf` files that others include. The compiler searches this folder."""
