"""Tests of the reporter: `python3 -m unittest discover` in the folder above."""
