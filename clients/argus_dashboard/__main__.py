"""`python -m argus_dashboard`."""

from argus_dashboard.main import main

main(prog_name="argus-dashboard")
