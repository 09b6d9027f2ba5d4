"""DVC's graph as tasks of Airflow, and what the user sees of them."""
