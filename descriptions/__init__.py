"""Description libraries: `.sf` files that descriptions include. The compiler searches this folder."""
