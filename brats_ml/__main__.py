"""`python -m brats_ml`, which dvc.yaml calls so that the checkout's own code runs."""

from brats_ml.cli import main

main()
