"""`python -m components.testbed.lab`, behind `scripts/lab`."""

from components.testbed.lab.cli import main

main(prog_name="scripts/lab")
