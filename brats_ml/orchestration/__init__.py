"""DVC's graph as Airflow tasks, and the local servers that run them."""
