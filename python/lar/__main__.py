"""`python -m lar` is the command line."""

from lar.cli import main

main()
